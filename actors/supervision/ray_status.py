"""What a Ray cluster has, for `boxoffice doctor`: `python -m actors.supervision.ray_status HOST:PORT` prints one line.

A process of its own, since Ray reads how to join a cluster when it is imported, and may take long to give up.
"""

from __future__ import annotations

import sys

from ray._raylet import GcsClient  # type: ignore[attr-defined]  # its stub leaves it out
from ray.core.generated.gcs_pb2 import GcsNodeInfo

GIB = 1024**3


def main() -> None:
    """Prints the living nodes and what they have; ends with Ray's error where it is not let in."""
    nodes = GcsClient(address=sys.argv[1]).get_all_node_info().values()
    alive = [node for node in nodes if node.state == GcsNodeInfo.GcsNodeState.ALIVE]
    cores = sum(node.resources_total.get("CPU", 0.0) for node in alive)
    memory = sum(node.resources_total.get("memory", 0.0) for node in alive)
    print(f"{len(alive)} {'node' if len(alive) == 1 else 'nodes'}, {cores:g} CPU, {memory / GIB:.1f} GiB")  # noqa: T201  # it is asked for this


if __name__ == "__main__":
    main()
