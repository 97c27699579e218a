"""Which machines there are, and the way to processes on others: this process on both ends."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import msgspec
import pytest

from actors.gateway.gateway import OwnerLost
from actors.gateway.machines import EveryOwner, Machines, RemoteOwner, watching
from actors.wire.remote import answered
from actors.wire.secured import Listener, Trust
from persistence.journal import nodes
from persistence.journal.journal import JournalUnavailable
from persistence.journal.nodes import DRAINING, LOST_SECONDS, SERVING, STARTING, Node, Process
from tests.support.waiting import until

TRUST = Trust([secrets.token_bytes(32)])


def node(name: str, state: str = SERVING, processes: int = 2, silent_seconds: float = 0.0, beat: str = "1") -> Node:
    return Node(
        name=name,
        incarnation="1",
        address="127.0.0.1",
        processes=processes,
        state=state,
        beat=beat,
        silent_seconds=silent_seconds,
    )


class Rows:
    """What a look finds."""

    def __init__(self, *rows: Node) -> None:
        self.rows = list(rows)
        self.away = False

    async def look(self) -> list[Node]:
        if self.away:
            raise JournalUnavailable("away")
        return self.rows

    def silent(self, name: str, beat: str = "1") -> None:
        self.rows = [
            msgspec.structs.replace(each, silent_seconds=LOST_SECONDS + 1, beat=beat) if each.name == name else each
            for each in self.rows
        ]


async def seen(rows: Rows, own: str = "a") -> Machines:
    machines = Machines(rows.look, own)
    await machines.look()
    return machines


async def test_schedules_go_to_machines_that_serve_one_process_of_each_after_another() -> None:
    machines = await seen(Rows(node("a"), node("b"), node("c", DRAINING), node("d", STARTING)))
    assert machines.candidates() == ["owners-0@a", "owners-0@b", "owners-1@a", "owners-1@b"]


async def test_a_place_counts_while_its_process_is_one_of_a_machine_that_is_there() -> None:
    machines = await seen(Rows(node("a", processes=1), node("c", DRAINING), node("d", STARTING)))
    hosts = ("owners-0@a", "owners-1@a", "owners-1@c", "owners-0@d", "owners-0@z", "owners-0")
    held = {host: machines.holds(host) for host in hosts}
    assert [host for host, holds in held.items() if holds] == ["owners-0@a", "owners-1@c"]


async def test_a_machine_is_lost_that_is_silent_at_two_looks_and_found_again_when_it_speaks() -> None:
    rows = Rows(node("a"), node("b"))
    machines = await seen(rows)
    rows.silent("b")
    assert not await machines.look()
    assert machines.holds("owners-0@b")
    assert await machines.look()
    assert not machines.holds("owners-0@b")
    assert machines.candidates() == ["owners-0@a", "owners-1@a"]
    rows.rows = [node("a"), node("b", beat="2")]
    assert not await machines.look()
    assert machines.holds("owners-0@b")


async def test_a_machine_that_starts_anew_has_lost_what_it_had() -> None:
    rows = Rows(node("a"), node("b"))
    machines = await seen(rows)
    rows.rows = [node("a"), node("b", STARTING)]
    assert await machines.look()
    assert not machines.holds("owners-0@b")
    assert not await machines.look()


async def test_after_a_pause_of_the_database_nobody_is_lost() -> None:
    rows = Rows(node("a"), node("b"))
    machines = await seen(rows)
    for number in range(5):  # seen late each time, and each time it has spoken meanwhile
        rows.silent("b", beat=str(number))
        assert not await machines.look()
    assert machines.holds("owners-0@b")


async def test_whoever_cannot_look_goes_on_with_what_it_knew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "BEAT_SECONDS", 0.001)
    rows = Rows(node("a"), node("b"))
    machines = await seen(rows)
    lost = asyncio.Event()
    async with watching(machines, lost.set):
        rows.away = True
        rows.silent("b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lost.wait(), 0.05)  # fifty beats
        assert machines.holds("owners-0@b")
        rows.away = False
        await until(lost.is_set)


async def test_whoever_breaks_off_looking_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "BEAT_SECONDS", 0.001)
    monkeypatch.setattr("actors.process.unending.ANEW_SECONDS", 0.001)
    rows = Rows(node("a"), node("b"))
    machines = await seen(rows)
    lost, told = asyncio.Event(), 0

    def broken_at_first() -> None:
        nonlocal told
        told += 1
        if told == 1:
            rows.rows = [node("a"), node("b")]
            raise LookupError("a mistake")
        lost.set()

    async with watching(machines, broken_at_first):
        rows.silent("b")
        await until(lambda: told == 1)
        await until(lambda: machines.holds("owners-0@b"))
        rows.silent("b")
        await until(lost.is_set)


async def test_a_machine_knows_that_it_is_to_be_left_alone() -> None:
    rows = Rows(node("a"), node("b", DRAINING))
    assert not (await seen(rows, "a")).draining
    assert (await seen(rows, "b")).draining
    assert not (await seen(rows, "unknown")).draining


# --- processes elsewhere ----------------------------------------------------------------------------------------------
class FarProcess:
    """A process of owners on another machine."""

    def __init__(self) -> None:
        self.retired: list[str] = []

    async def submit(self, data: bytes) -> bytes:
        return data[::-1]

    async def inspect(self, schedule_id: str) -> bytes | None:
        return b"inspected" if schedule_id == "known" else None

    async def retire(self, schedule_id: str) -> None:
        self.retired.append(schedule_id)


class NoneHere:
    """This machine's own processes."""

    async def find(self, name: str) -> RemoteOwner:
        raise OwnerLost(f"local {name}")

    async def current(self, name: str) -> None:
        return None

    async def replace(self, name: str, owner: RemoteOwner) -> None:
        raise AssertionError("it is not ours to replace")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database_url, min_size=0, max_size=2) as pool:
        yield pool


async def test_a_process_elsewhere_is_found_by_its_row_and_asked_all_there_is_to_ask(pool: asyncpg.Pool) -> None:
    far, owners = FarProcess(), EveryOwner(NoneHere(), pool, "a", TRUST)
    name, process = "owners-0@b", Process("127.0.0.1", 0, "token")
    with pytest.raises(OwnerLost, match="not there yet"):
        await owners.find(name)
    listener = Listener(process.identity(name), TRUST, partial(answered, far))
    port = await listener.listen("127.0.0.1")
    await nodes.register(pool, name, Process("127.0.0.1", port, "token"))
    owner = await owners.find(name)
    assert await owner.submit(b"abc") == b"cba"
    assert await owner.inspect("known") == b"inspected"
    assert await owner.inspect("unknown") is None
    await owner.retire("known")
    assert far.retired == ["known"]
    there = await owners.current(name)
    assert isinstance(there, RemoteOwner)
    there.close()
    await listener.close()
    with pytest.raises(OwnerLost):
        await owner.submit(b"abc")
    with pytest.raises(OwnerLost):
        await owners.find(name)
    assert await owners.current(name) is None
    await owners.replace(name, owner)
    with pytest.raises(OwnerLost, match="local"):
        await owners.find("owners-0@a")


async def test_a_process_that_has_taken_another_s_port_is_not_taken_for_it(pool: asyncpg.Pool) -> None:
    owners = EveryOwner(NoneHere(), pool, "a", TRUST)
    listener = Listener(Process("", 0, "newer").identity("owners-1@b"), TRUST, partial(answered, FarProcess()))
    port = await listener.listen("127.0.0.1")
    await nodes.register(pool, "owners-0@b", Process("127.0.0.1", port, "older"))
    with pytest.raises(OwnerLost):
        await owners.find("owners-0@b")
    await listener.close()
