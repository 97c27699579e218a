"""What takes the suite's time: which tests need no service, what one process runs as a whole, what took longest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pytest
from xdist.scheduler import LoadFileScheduling

# Fixtures that start something. A test that asks for none of them, itself or by others, is plain; who is given the name
# of one as a parameter asks for it, and nobody sees by way of which others.
SERVICES = {
    "apache_kafka_jars",
    "apache_kafka_servers",
    "browser",
    "kafka_servers",
    "make_cluster",
    "make_stack",
    "own_broker",
    "postgres_journal",
    "postgres_url",
    "ray_address",
    "redis_url",
    "run_with_ray",
    "servers",
    "stack",
}
SHOWN = 10

# Beginnings of paths. What shares a stack, a browser, a siege or a broker is one process's, so that it is started once;
# whatever is not in here is handed out file by file.
SHARING = {
    "the stack": (
        "tests/api/command_line/test_cli.py",
        "tests/api/command_line/test_top.py",
        "tests/api/http/test_problems.py",
        "tests/api/routes/accounts/test_accounts.py",
        "tests/api/routes/admin/test_admin.py",
        "tests/api/routes/admin/test_admin_bookings.py",
        "tests/api/routes/bookings/test_batches.py",
        "tests/api/routes/bookings/test_bookings.py",
        "tests/api/routes/bookings/test_payments.py",
        "tests/api/routes/bookings/test_refunds.py",
        "tests/api/routes/catalogue/test_cancelled_schedules.py",
        "tests/api/routes/catalogue/test_performances.py",
        "tests/api/routes/catalogue/seats/test_seats.py",
        "tests/api/routes/catalogue/test_withdrawal.py",
        "tests/api/routes/organizer/test_organizer.py",
        "tests/api/routes/organizer/test_sales.py",
        "tests/api/server/test_bad_input.py",
        "tests/api/server/test_generated_clients.py",
        "tests/e2e/test_demo.py",
        "tests/e2e/test_money_on_the_stack.py",
        "tests/loadtest/test_bench.py",
        "tests/loadtest/test_scenarios.py",
    ),
    "the stack and a browser": ("tests/web/",),
    "the siege": ("tests/e2e/isolation/",),
    "Apache Kafka": (
        "tests/actors/receivers/test_catch_up.py",
        "tests/actors/receivers/test_replaying.py",
        "tests/api/command_line/test_doctor.py",
        "tests/docs/test_consuming_events.py",
        "tests/persistence/events/test_event_feed.py",
        "tests/persistence/events/test_event_log.py",
        "tests/persistence/events/test_kafka_topic.py",
    ),
}
# What these share ends with the last of them: an idle system takes a tenth of a core as long as it is there.
SHARED = {"apache_kafka_servers", "browser", "stack"}
# Whatever takes longest begins first, so that the last of it does not run alone at the end; then the rest, as it comes.
LONGEST_FIRST = (
    *SHARING["the stack"],
    "tests/e2e/isolation/",
    "tests/web/",
    *SHARING["Apache Kafka"],
    "tests/e2e/test_payment_crashes.py",
    "tests/e2e/test_crashes.py",
    "tests/cluster/",
    "tests/e2e/",
    "tests/actors/reconciliation/",
    "tests/actors/money/",
    "tests/actors/",
    "tests/persistence/events/",
    "tests/loadtest/",
    "tests/docs/",
    "tests/api/",
    "tests/persistence/",
    "tests/benchmarks/",
)


def mark_plain(items: Iterable[pytest.Item]) -> None:
    """Marks the plain tests; `make quick` runs these."""
    for item in items:
        if isinstance(item, pytest.Function) and SERVICES.isdisjoint(_asked_for(item)):
            item.add_marker(pytest.mark.plain)


def _asked_for(item: pytest.Function) -> set[object]:
    """The fixtures a test asks for, also those whose names it is given."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {*item.fixturenames, *(each for each in given if isinstance(each, str))}


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """What takes longest first. Raises `pytest.UsageError` for a file that shares the stack and isn't in `SHARING`."""
    missing = {_path_of(item.nodeid) for item in items if "stack" in getattr(item, "fixturenames", ())}
    missing = {path for path in missing if _unit_of(path) == path}
    if missing:
        raise pytest.UsageError(f"they share the stack, and tests/support/pace.py does not say so: {sorted(missing)}")
    return sorted(items, key=lambda item: _rank_of(_path_of(item.nodeid)))


class ByWhatIsShared(LoadFileScheduling):
    """Hands out units: what shares something expensive, and else files."""

    def _split_scope(self, nodeid: str) -> str:
        return _unit_of(_path_of(nodeid))


class EndsWithItsUnit:
    """Ends what is shared after the last test of those that share it; pytest itself would at the session's end."""

    def __init__(self) -> None:
        self._running: list[tuple[pytest.FixtureDef[object], pytest.FixtureRequest]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest) -> None:
        if fixturedef.argname in SHARED:
            self._running.append((fixturedef, request))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        yield
        if nextitem is None or _unit_of(_path_of(item.nodeid)) != _unit_of(_path_of(nextitem.nodeid)):
            while self._running:
                fixture, request = self._running.pop()
                fixture.finish(request)


def _path_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _unit_of(path: str) -> str:
    return next((name for name, beginnings in SHARING.items() if path.startswith(beginnings)), path)


def _rank_of(path: str) -> int:
    """Its place in `LONGEST_FIRST`."""
    places = enumerate(LONGEST_FIRST)
    return next((place for place, beginning in places if path.startswith(beginning)), len(LONGEST_FIRST))


def slowest_files(reports: Iterable[pytest.TestReport]) -> Sequence[tuple[str, float]]:
    """The files that took longest and their seconds, fixtures included, the slowest first."""
    seconds: Counter[str] = Counter()
    for report in reports:
        seconds[report.nodeid.partition("::")[0]] += report.duration
    return seconds.most_common(SHOWN)
