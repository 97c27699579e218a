"""Ray's head without what nobody looks at here: no dashboard, no agents, no monitor of an autoscaler.

What remains is what places and finds owners: the cluster's register (gcs_server) and the node's scheduler (raylet).
`ray start` starts four more Python processes, whatever its switches say (1.5 s of CPU and 300 MB). So this makes Ray's
own `Node` and leaves out the dashboard. The raylet insists on two agents, and ends when one of them does: it is given
a `tail` for each. One would report metrics, the other prepare runtime environments; owners ask for neither.

The register keeps what it knows on disk, and is started again when it dies: whoever runs goes on meanwhile, and only a
process that is looked for or made just then waits a moment. Without the scheduler nothing is left to go on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from ray._private import services
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._private.ray_constants import PROCESS_TYPE_GCS_SERVER

from actors.supervision.ray_head import HOST, OBJECT_STORE_BYTES, STARTED

AGENTS = ("--dashboard_agent_command", "--runtime_env_agent_command")
# Where agents would listen: ports on which nobody does (IANA: unassigned). Given 0, the raylet waits to be told.
PORTS = {
    "--metrics-agent-port": 4,
    "--metrics_export_port": 6,
    "--runtime_env_agent_port": 8,
    "--dashboard_agent_listen_port": 10,
}


STABLE_SECONDS = 5.0  # a register that ends sooner would end again


class HeadNode(Node):  # type: ignore[misc]  # Ray has no types
    """Ray's head node without the process that serves the dashboard."""

    def start_api_server(self, **_: object) -> None:
        """Nobody looks at a dashboard here."""

    def survives_the_end_of(self, pid: int) -> bool:
        """Whether the process that has ended was the register, which is there again now."""
        (register,) = self.all_processes[PROCESS_TYPE_GCS_SERVER]
        if register.process.pid != pid or time.monotonic() - self._registered < STABLE_SECONDS:
            return False
        register.process.wait()
        del self.all_processes[PROCESS_TYPE_GCS_SERVER]
        self._gcs_address = self._gcs_client = None
        self.start_gcs_server()
        return True

    def start_gcs_server(self) -> None:
        self._registered = time.monotonic()
        super().start_gcs_server()


def main() -> None:
    """Runs the head on the port and in the directory that the command line names, until SIGTERM or its own end."""
    port, directory = sys.argv[1:]
    signal.signal(signal.SIGTERM, _stop)
    start = services.start_ray_process

    def start_without_agents(command: Sequence[str], process_type: str, **more: Any) -> Any:
        words = without_agents(command) if process_type == "raylet" else command
        return start(words, process_type, **more)

    services.start_ray_process = start_without_agents
    os.environ.update({"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": f"{directory}/register"})
    node = HeadNode(_parameters(int(port), directory), head=True, shutdown_at_exit=False, spawn_reaper=False)
    try:
        print(STARTED, flush=True)  # noqa: T201  # what `ray_head` waits for in the log
        while node.survives_the_end_of(_ended()):
            pass
        raise SystemExit("one of Ray's processes has ended; its log is in logs/ray of the data directory")
    finally:
        node.kill_all_processes(check_alive=False, allow_graceful=False)  # what counts is in the journal


def _ended() -> int:
    """Waits until one of Ray's processes has ended; which."""
    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_pid


def without_agents(command: Sequence[str]) -> list[str]:
    """The raylet's command line with a `tail` in the place of each agent."""
    stand_in = subprocess.list2cmdline([shutil.which("tail") or "tail", "-f", os.devnull])
    names = [word.partition("=")[0] for word in command]
    if not {*AGENTS} <= {*names}:
        raise SystemExit(f"this version of Ray starts its agents in another way: {command}")
    ours = {**dict.fromkeys(AGENTS, stand_in), **PORTS}
    theirs = [word for name, word in zip(names, command, strict=True) if name not in ours]
    return [*theirs, *(f"{name}={value}" for name, value in ours.items())]


def _parameters(port: int, directory: str) -> RayParams:
    return RayParams(
        node_ip_address=HOST,
        gcs_server_port=port,
        num_cpus=os.cpu_count() or 1,
        object_store_memory=OBJECT_STORE_BYTES,
        temp_dir=directory,
        min_worker_port=0,  # the system chooses: two of us must not collide
        max_worker_port=0,
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
    )


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
