"""What takes the suite's time: which tests need no service, and which files took longest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

# Fixtures that start something. A test that asks for none of them, itself or by others, is plain.
SERVICES = {
    "apache_kafka_jars",
    "browser",
    "kafka_servers",
    "make_cluster",
    "make_stack",
    "own_broker",
    "postgres_url",
    "ray_address",
    "redis_url",
    "servers",
    "stack",
}
SHOWN = 10


def mark_plain(items: Iterable[pytest.Item]) -> None:
    """Marks the plain tests; `make quick` runs these."""
    for item in items:
        if isinstance(item, pytest.Function) and SERVICES.isdisjoint(_asked_for(item)):
            item.add_marker(pytest.mark.plain)


def _asked_for(item: pytest.Function) -> set[object]:
    """The fixtures a test asks for, also those whose names it is given."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {*item.fixturenames, *(each for each in given if isinstance(each, str))}


def slowest_files(reports: Iterable[pytest.TestReport]) -> Sequence[tuple[str, float]]:
    """The files that took longest and their seconds, fixtures included, the slowest first."""
    seconds: Counter[str] = Counter()
    for report in reports:
        seconds[report.nodeid.partition("::")[0]] += report.duration
    return seconds.most_common(SHOWN)
