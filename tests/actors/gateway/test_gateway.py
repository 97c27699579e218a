"""The gateway against owners that are quick, slow, silent, dead or new; no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from actors.gateway.gateway import Gateway, OwnerLost, Unavailable, UnknownSchedule
from actors.wire.messages import Reply, decode_requests, encode_replies
from engine import commands
from engine.refusals import Code, Refusal
from engine.state import Done
from engine.turn import Request
from tests.support.waiting import until

SCHEDULE = "s1"
REFUSED = Refusal(Code.SALE_CLOSED)


class FakeOwner:
    """Answers every request with the number of the call it came in, unless told otherwise."""

    def __init__(self) -> None:
        self.calls: list[list[Request]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.behaviour: Callable[[Request], Reply] = lambda request: len(self.calls)
        self.lost = False
        self.closed = False

    async def submit(self, data: bytes) -> bytes:
        if self.lost:
            raise OwnerLost("gone")
        requests = decode_requests(data)
        self.calls.append(requests)
        await self.gate.wait()
        if self.lost:
            raise OwnerLost("gone in the middle")
        return encode_replies([self.behaviour(request) for request in requests])

    async def inspect(self) -> bytes:
        raise OwnerLost("not in this test")

    def close(self) -> None:
        self.closed = True


class FakeOwners:
    """Hands out the first of `line`; a replaced one makes room for the next."""

    def __init__(self, *line: FakeOwner) -> None:
        self.line = list(line)
        self.found = 0
        self.replaced: list[FakeOwner] = []

    async def find(self, schedule_id: str) -> FakeOwner:
        self.found += 1
        if self.line[0].lost and len(self.line) > 1:
            self.line.pop(0)
        return self.line[0]

    async def current(self, schedule_id: str) -> FakeOwner | None:
        return self.line[0] if self.line else None

    async def replace(self, schedule_id: str, owner: FakeOwner) -> None:
        self.replaced.append(owner)
        self.line.remove(owner)


async def exists(schedule_id: str) -> bool:
    return schedule_id == SCHEDULE


@pytest.fixture
async def open_gateway() -> AsyncIterator[Callable[..., Gateway[FakeOwner]]]:
    opened: list[Gateway[FakeOwner]] = []

    def open_one(owners: FakeOwners, deadline_seconds: float = 5.0) -> Gateway[FakeOwner]:
        gateway = Gateway(owners, exists, call_timeout_seconds=0.1, deadline_seconds=deadline_seconds)
        opened.append(gateway)
        return gateway

    yield open_one
    for gateway in opened:
        await gateway.close()


Open = Callable[..., Gateway[FakeOwner]]


def wish(gateway: Gateway[FakeOwner], number: int) -> asyncio.Task[object]:
    return asyncio.create_task(gateway.send(SCHEDULE, commands.Expire(), request_id=f"r{number}"))


async def test_a_refusal_and_a_success_come_back_as_they_are(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    assert await wish(gateway, 1) == Done(1)
    owner.behaviour = lambda request: REFUSED
    assert await wish(gateway, 2) == REFUSED


async def test_no_owner_is_made_for_a_schedule_that_does_not_exist(open_gateway: Open) -> None:
    owners = FakeOwners(FakeOwner())
    with pytest.raises(UnknownSchedule):
        await open_gateway(owners).send("nonsense", commands.Expire(), request_id="r")
    assert owners.found == 0


async def test_requests_of_one_instant_travel_in_one_call(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    await asyncio.gather(*(wish(gateway, n) for n in range(100)))
    assert [len(call) for call in owner.calls] == [100]


async def test_requests_during_a_call_are_gathered_for_the_next(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    owner.gate.clear()
    waves = [wish(gateway, n) for n in range(10)]
    await until(lambda: len(owner.calls) == 1)
    waves += [wish(gateway, n) for n in range(10, 50)]
    owner.gate.set()
    await asyncio.gather(*waves)
    assert [len(call) for call in owner.calls] == [10, 40]


async def test_a_call_that_hangs_does_not_hold_up_the_others(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.gateway.gateway.PATIENCE_SECONDS", 0.01)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner, FakeOwner()))
    owner.gate.clear()
    hanging = wish(gateway, 1)
    await until(lambda: len(owner.calls) == 1)
    others = [wish(gateway, number) for number in (2, 3)]
    await until(lambda: len(owner.calls) == 2)
    owner.gate.set()
    await asyncio.gather(hanging, *others)
    assert [len(call) for call in owner.calls] == [1, 2]


async def test_those_who_were_answered_together_go_together_again(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.gateway.gateway.PAUSE_SHARE", 1e9)  # of any time at all, so that the limit decides
    monkeypatch.setattr("actors.gateway.gateway.PAUSE_LIMIT_SECONDS", 0.2)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))

    async def client(number: int) -> None:
        for _ in range(4):
            await wish(gateway, number)
            await asyncio.sleep(0.001 * number)  # they do not come at the same moment

    await asyncio.gather(*(client(number) for number in range(3)))
    assert [len(call) for call in owner.calls] == [3, 3, 3, 3]


async def test_whoever_is_alone_does_not_wait_for_others(open_gateway: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.gateway.gateway.PAUSE_SHARE", 1e9)
    monkeypatch.setattr("actors.gateway.gateway.PAUSE_LIMIT_SECONDS", 1e9)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    async with asyncio.timeout(5):
        for number in range(10):
            await wish(gateway, number)
    assert [len(call) for call in owner.calls] == [1] * 10


async def test_not_durable_yet_is_asked_again_and_marked_so(open_gateway: Open) -> None:
    owner = FakeOwner()
    owner.behaviour = lambda request: 7 if request.again else None
    assert await wish(open_gateway(FakeOwners(owner)), 1) == Done(7)
    assert [call[0].again for call in owner.calls] == [False, True]


async def test_a_dead_owner_is_found_anew_and_asked_again_with_the_same_id(open_gateway: Open) -> None:
    dead, fresh = FakeOwner(), FakeOwner()
    gateway = open_gateway(FakeOwners(dead, fresh))
    dead.gate.clear()
    answer = wish(gateway, 1)
    await until(lambda: len(dead.calls) == 1)
    dead.lost = True
    dead.gate.set()
    assert await answer == Done(1)
    assert fresh.calls[0][0].id == "r1"
    assert fresh.calls[0][0].again
    assert dead.closed
    assert not fresh.closed


async def test_a_silent_owner_is_replaced_and_the_request_succeeds_late(open_gateway: Open) -> None:
    silent, fresh = FakeOwner(), FakeOwner()
    silent.gate.clear()
    owners = FakeOwners(silent, fresh)
    assert await wish(open_gateway(owners), 1) == Done(1)
    assert owners.replaced == [silent]


async def test_a_retired_owner_is_asked_nothing_any_more_though_it_still_answers(open_gateway: Open) -> None:
    retired, fresh = FakeOwner(), FakeOwner()
    gateway = open_gateway(FakeOwners(retired, fresh))
    await wish(gateway, 1)
    await gateway.retire(SCHEDULE)
    await wish(gateway, 2)
    assert [len(owner.calls) for owner in (retired, fresh)] == [1, 1]
    assert retired.closed


async def test_past_its_deadline_a_request_fails_and_says_when_to_come_again(open_gateway: Open) -> None:
    owner = FakeOwner()
    owner.lost = True
    with pytest.raises(Unavailable) as failure:
        await wish(open_gateway(FakeOwners(owner), deadline_seconds=0.2), 1)
    assert failure.value.retry_after_seconds >= 1


async def test_a_full_queue_refuses_instead_of_growing(open_gateway: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.gateway.gateway.QUEUE_LIMIT", 5)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    owner.gate.clear()
    wishes = [wish(gateway, n) for n in range(20)]
    await until(lambda: sum(each.done() for each in wishes) == 15)
    owner.gate.set()
    results = await asyncio.gather(*wishes, return_exceptions=True)
    assert sum(isinstance(each, Unavailable) for each in results) == 15


async def test_a_caller_who_gives_up_disturbs_nobody(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    owner.gate.clear()
    leaving, staying = wish(gateway, 1), wish(gateway, 2)
    await until(lambda: len(owner.calls) == 1)
    leaving.cancel()
    owner.gate.set()
    assert await staying == Done(1)


async def test_closing_fails_what_is_waiting(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    owner.gate.clear()
    answer = wish(gateway, 1)
    await until(lambda: len(owner.calls) == 1)
    await gateway.close()
    with pytest.raises(Unavailable):
        await answer
    assert owner.closed
