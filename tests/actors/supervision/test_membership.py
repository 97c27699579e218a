"""A machine's place in a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from actors.supervision import membership
from actors.supervision.membership import CannotJoin, Membership
from actors.wire.secured import Trust
from persistence.journal import nodes
from persistence.journal.nodes import DRAINING, SERVING, STARTING
from tests.persistence.journal.test_journal import ident
from tests.support.waiting import until


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


class Life:
    """One life of a machine."""

    def __init__(self, database_url: str, name: str, known: Sequence[str] = ()) -> None:
        self.losses: list[BaseException] = []
        self.membership = Membership(database_url, name, "127.0.0.1", 1, self.losses.append, known)

    async def end(self) -> None:
        await self.membership.leave()
        await self.membership.close()


async def states(connection: asyncpg.Connection) -> dict[str, str]:
    return {each.name: each.state for each in await nodes.look(connection)}


async def test_a_machine_joins_beats_serves_and_leaves_nothing_behind(
    connection: asyncpg.Connection, database_url: str
) -> None:
    life = Life(database_url, "a")
    await life.membership.join()
    assert await states(connection) == {"a": STARTING}
    await life.membership.serve()
    assert await states(connection) == {"a": SERVING}
    await connection.execute("UPDATE nodes SET beat_at = beat_at - interval '1 minute'")

    async def beats() -> bool:
        return not (await nodes.look(connection))[0].silent

    await until(beats)
    life.membership.pause()
    await life.membership.serve()
    assert await states(connection) == {"a": SERVING}
    await life.end()
    assert await states(connection) == {}
    assert not life.losses


async def test_a_name_that_is_taken_is_waited_for_and_then_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "JOIN_SECONDS", 0.05)
    first, second = Life(database_url, "a"), Life(database_url, "a")
    await first.membership.join()
    with pytest.raises(CannotJoin, match="is called a"):
        await second.membership.join()
    await second.end()
    await first.end()


async def test_a_machine_whose_name_has_become_another_s_is_told(
    connection: asyncpg.Connection, database_url: str
) -> None:
    life = Life(database_url, "a")
    await life.membership.join()
    await connection.execute("UPDATE nodes SET incarnation = 'another'")
    await until(lambda: bool(life.losses))
    await life.end()
    assert await states(connection) == {"a": STARTING}  # the other one's row stays


async def test_leaving_it_waits_until_its_schedules_are_elsewhere_if_anybody_can_take_them(
    connection: asyncpg.Connection, database_url: str
) -> None:
    here, there = Life(database_url, "a"), Life(database_url, "b")
    for life in (here, there):
        await life.membership.join()
        await life.membership.serve()
    host = "INSERT INTO schedule_heads (schedule_id, epoch, seq, host) VALUES ($1, 0, 1, 'owners-0@a')"
    await connection.execute(host, ident(1))
    leaving = asyncio.create_task(here.membership.leave())

    async def drains() -> bool:
        return await states(connection) == {"a": DRAINING, "b": SERVING}

    await until(drains)
    assert not leaving.done()
    await connection.execute("UPDATE schedule_heads SET host = NULL")
    await leaving
    await here.membership.close()
    await connection.execute("UPDATE schedule_heads SET host = 'owners-0@b'")
    await there.end()  # nobody could take it over, so it is not waited for
    assert await states(connection) == {}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for."""
    monkeypatch.setattr(membership, "JOIN_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("first", "second", "against"),
    [
        ("a", "", r"machines of a cluster \(a\) use this database: set BOXOFFICE_NODE"),
        ("", "a", "a machine by itself uses this database"),
        ("", "", "another machine by itself uses this database"),
    ],
    ids=["a cluster's", "a machine's by itself", "another's by itself"],
)
@pytest.mark.usefixtures("impatient")
async def test_a_machine_by_itself_shares_its_database_with_nobody(
    connection: asyncpg.Connection, database_url: str, first: str, second: str, against: str
) -> None:
    there, here = Life(database_url, first), Life(database_url, second)
    await there.membership.join()
    with pytest.raises(CannotJoin, match=against):
        await here.membership.join()
    await here.end()
    assert [each.name for each in await nodes.look(connection)] == [first]
    await there.end()
    await (again := Life(database_url, second)).membership.join()
    await again.end()


async def test_a_machine_by_itself_takes_part_in_nothing(connection: asyncpg.Connection, database_url: str) -> None:
    life = Life(database_url, "")
    await life.membership.join()
    life.membership.pause()
    await life.membership.serve()
    assert await states(connection) == {"": STARTING}
    await life.end()
    assert await states(connection) == {}


KEYS = [b"one", b"two", b"three"]


@pytest.mark.parametrize(
    ("first", "second", "talk"),
    [
        (Trust(KEYS[:1]).known_by, Trust(KEYS[:1]).known_by, True),
        (Trust(KEYS[:2]).known_by, Trust(KEYS[1:]).known_by, True),  # a secret is replaced
        (Trust(KEYS[:1]).known_by, Trust(KEYS[1:]).known_by, False),
        (Trust(KEYS[:1], certificate="a.pem").known_by, Trust(KEYS[:1]).known_by, False),
        ([], Trust(KEYS[:1]).known_by, True),  # a former release does not say
    ],
    ids=["the same secret", "one in common", "another secret", "one with a certificate", "a former release"],
)
@pytest.mark.usefixtures("impatient")
async def test_machines_that_would_not_talk_are_not_together(
    database_url: str, first: list[str], second: list[str], talk: bool
) -> None:
    there, here = Life(database_url, "a", first), Life(database_url, "b", second)
    await there.membership.join()
    if talk:
        await here.membership.join()
    else:
        with pytest.raises(CannotJoin, match="machine b and a would not talk: they have another BOXOFFICE_SECRET"):
            await here.membership.join()
    await here.end()
    await there.end()


async def test_a_machine_that_can_beat_no_more_ends(connection: asyncpg.Connection, database_url: str) -> None:
    """The others give it up; it must not go on as if nothing were wrong."""
    life = Life(database_url, "a")
    await life.membership.join()
    await connection.execute("ALTER TABLE nodes RENAME beat_at TO beaten_at")
    try:
        await until(lambda: bool(life.losses))
        assert isinstance(life.losses[0], asyncpg.UndefinedColumnError)
    finally:
        await connection.execute("ALTER TABLE nodes RENAME beaten_at TO beat_at")
    await life.end()
