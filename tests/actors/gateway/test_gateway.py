"""The gateway against owners that are quick, slow, silent, dead or new; no Ray."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable

import pytest

from actors.gateway.gateway import (
    FIND_PAUSE_SECONDS,
    Gateway,
    Impossible,
    OwnerLost,
    Unavailable,
    Unencodable,
    UnknownSchedule,
)
from actors.gateway.lane import Lane, Unreachable
from actors.wire.messages import Fault, Reply, Standing, decode_call, encode_answer
from engine import commands
from engine.refusals import Code, Refusal
from engine.state import Done
from engine.turn import Request
from persistence.journal.journal import JournalUnavailable
from tests.support.local_owners import OneHost
from tests.support.waiting import PATIENCE_SECONDS, turns, until

SCHEDULE = "s1"
REFUSED = Refusal(Code.SALE_CLOSED)
SILENT_SECONDS = 0.1  # after which a process is given up, where that is the point


class FakeOwner:
    """A process of owners. Answers every request with the number of the call it came in, unless told otherwise."""

    def __init__(self) -> None:
        self.calls: list[list[Request]] = []  # of those that carried requests
        self.loads: list[dict[str, int]] = []  # the same: how many requests of which schedule
        self.opened: list[str] = []
        self.open: set[str] = set()
        self.refuses: dict[str, Standing] = {}  # to open these
        self.gate = asyncio.Event()
        self.gate.set()
        self.opening = asyncio.Event()
        self.opening.set()
        self.behaviour: Callable[[Request], Reply] = lambda request: len(self.calls)
        self.lost = False
        self.closed = False

    async def submit(self, data: bytes) -> bytes:
        if self.lost:
            raise OwnerLost("gone")
        call = decode_call(data)
        if [len(requests) for _, requests in call] == [0]:
            return encode_answer([await self._open(call[0][0])])
        self.calls.append([request for _, requests in call for request in requests if isinstance(request, Request)])
        self.loads.append({schedule_id: len(requests) for schedule_id, requests in call})
        await self.gate.wait()
        if self.lost:
            raise OwnerLost("gone in the middle")
        return encode_answer([self._answer(*each) for each in call])

    def _answer(self, schedule_id: str, requests: list[Request | Fault]) -> list[Reply] | Standing:
        if schedule_id not in self.open:
            return Standing.CLOSED
        return [each if isinstance(each, Fault) else self.behaviour(each) for each in requests]

    async def _open(self, schedule_id: str) -> list[Reply] | Standing:
        self.opened.append(schedule_id)
        await self.opening.wait()
        if schedule_id in self.refuses:
            return self.refuses[schedule_id]
        self.open.add(schedule_id)
        return []

    async def inspect(self, schedule_id: str) -> bytes | None:
        raise OwnerLost("not in this test")

    async def retire(self, schedule_id: str) -> None:
        self.open.discard(schedule_id)

    def close(self) -> None:
        self.closed = True


class FakeOwners:
    """Hands out the first of `line`; a replaced one makes room for the next."""

    def __init__(self, *line: FakeOwner) -> None:
        self.line = list(line)
        self.found = 0
        self.replaced: list[FakeOwner] = []

    async def find(self, name: str) -> FakeOwner:
        self.found += 1
        if self.line[0].lost and len(self.line) > 1:
            self.line.pop(0)
        return self.line[0]

    async def current(self, name: str) -> FakeOwner | None:
        return self.line[0] if self.line else None

    async def replace(self, name: str, owner: FakeOwner) -> None:
        self.replaced.append(owner)
        self.line.remove(owner)


async def exists(schedule_id: str) -> bool:
    return schedule_id.startswith("s")


@pytest.fixture
async def open_gateway() -> AsyncIterator[Callable[..., Gateway[FakeOwner]]]:
    opened: list[Gateway[FakeOwner]] = []

    def open_one(
        owners: FakeOwners, deadline_seconds: float = PATIENCE_SECONDS, call_timeout_seconds: float = PATIENCE_SECONDS
    ) -> Gateway[FakeOwner]:
        times = {"call_timeout_seconds": call_timeout_seconds, "deadline_seconds": deadline_seconds}
        gateway = Gateway(owners, OneHost(exists), **times)
        opened.append(gateway)
        return gateway

    yield open_one
    for gateway in opened:
        await gateway.close()


Open = Callable[..., Gateway[FakeOwner]]


def wish(gateway: Gateway[FakeOwner], number: int, schedule_id: str = SCHEDULE) -> asyncio.Task[object]:
    return asyncio.create_task(gateway.send(schedule_id, commands.Expire(), request_id=f"r{number}"))


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
    monkeypatch.setattr("actors.gateway.lane.PATIENCE_SECONDS", 0.01)
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
    monkeypatch.setattr("actors.gateway.lane.PAUSE_SHARE", 1e9)  # of any time at all, so that the limit decides
    monkeypatch.setattr("actors.gateway.lane.PAUSE_LIMIT_SECONDS", 0.1)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))

    async def client(number: int) -> None:
        for _ in range(4):
            await wish(gateway, number)
            await turns(number)  # they do not come at the same moment

    await asyncio.gather(*(client(number) for number in range(3)))
    assert [len(call) for call in owner.calls] == [3, 3, 3, 3]


async def test_whoever_is_alone_does_not_wait_for_others(open_gateway: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.gateway.lane.PAUSE_SHARE", 1e9)
    monkeypatch.setattr("actors.gateway.lane.PAUSE_LIMIT_SECONDS", 1e9)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    async with asyncio.timeout(PATIENCE_SECONDS):
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
    assert await wish(open_gateway(owners, call_timeout_seconds=SILENT_SECONDS), 1) == Done(1)
    assert owners.replaced == [silent]


async def test_a_retired_schedule_is_opened_again_and_its_requests_lose_nothing(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    await wish(gateway, 1)
    await gateway.retire(SCHEDULE)
    assert await wish(gateway, 2) == Done(3)  # the second call found it closed
    assert owner.opened == [SCHEDULE, SCHEDULE]


async def test_a_process_that_will_not_retire_a_schedule_is_replaced(open_gateway: Open) -> None:
    class Deaf(FakeOwner):
        async def retire(self, schedule_id: str) -> None:
            await asyncio.Event().wait()

    deaf = Deaf()
    owners = FakeOwners(deaf, FakeOwner())
    await open_gateway(owners, call_timeout_seconds=SILENT_SECONDS).retire(SCHEDULE)
    assert owners.replaced == [deaf]


async def test_past_its_deadline_a_request_fails_and_says_when_to_come_again(open_gateway: Open) -> None:
    owner = FakeOwner()
    owner.lost = True
    with pytest.raises(Unavailable) as failure:
        await wish(open_gateway(FakeOwners(owner), deadline_seconds=0.2), 1)
    assert failure.value.retry_after_seconds >= 1


async def test_past_its_deadline_a_request_fails_also_where_its_call_never_ends(open_gateway: Open) -> None:
    class Stuck(FakeOwners):
        async def replace(self, name: str, owner: FakeOwner) -> None:
            self.line.remove(owner)
            await asyncio.Event().wait()

    silent, fresh = FakeOwner(), FakeOwner()
    silent.gate.clear()
    gateway = open_gateway(Stuck(silent, fresh), deadline_seconds=0.5, call_timeout_seconds=SILENT_SECONDS)
    lost = wish(gateway, 1)
    await until(lambda: len(silent.calls) == 1)
    await until(lambda: silent.closed)
    gateway._deadline = PATIENCE_SECONDS
    assert await wish(gateway, 2) == Done(1)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(lost, PATIENCE_SECONDS)


@pytest.mark.parametrize("asked_again", [False, True])
async def test_a_schedule_that_was_forgotten_with_requests_under_way_is_remembered_with_them(
    monkeypatch: pytest.MonkeyPatch, asked_again: bool
) -> None:
    monkeypatch.setattr("actors.gateway.gateway.QUEUES_LIMIT", 1)
    away = False

    async def found(schedule_id: str) -> bool:
        if away:
            raise JournalUnavailable("away")
        return True

    owner = FakeOwner()
    times = {"call_timeout_seconds": PATIENCE_SECONDS, "deadline_seconds": 0.5}
    gateway = Gateway(FakeOwners(owner), OneHost(found), **times)
    await wish(gateway, 0)
    owner.gate.clear()
    asked = [wish(gateway, 1)]
    await until(lambda: len(owner.calls) == 2)
    away = True
    asked.append(wish(gateway, 2, "s2"))  # there is no room to remember both
    await until(lambda: not gateway.is_open(SCHEDULE))
    if asked_again:
        asked.append(wish(gateway, 3))
    owner.open.clear()
    owner.gate.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        told = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in told} <= {Unavailable, Done}
    await gateway.close()


async def test_what_a_call_had_no_room_for_does_not_wait_for_one_that_hangs(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.gateway.lane.PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr("actors.gateway.lane.CALL_LIMIT", 1)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    await wish(gateway, 0)
    owner.gate.clear()
    both = [wish(gateway, number) for number in (1, 2)]
    await until(lambda: len(owner.calls) == 3)
    owner.gate.set()
    await asyncio.gather(*both)


async def test_an_answer_that_does_not_fit_its_call_leaves_nobody_waiting(open_gateway: Open) -> None:
    class Confused(FakeOwner):
        def _answer(self, schedule_id: str, requests: list[Request | Fault]) -> list[Reply] | Standing:
            answer = super()._answer(schedule_id, requests)
            return answer if isinstance(answer, Standing) else answer[:-1]

    with pytest.raises(Unavailable, match="the call ended"):
        await asyncio.wait_for(wish(open_gateway(FakeOwners(Confused())), 1), PATIENCE_SECONDS)


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


async def test_one_that_is_not_where_it_was_opened_is_looked_for_anew(open_gateway: Open) -> None:
    class Forgetful(FakeOwner):
        """Says that the schedule is open, and knows nothing of it."""

        looks = 0

        async def inspect(self, schedule_id: str) -> None:
            self.looks += 1

    class Asked(OneHost):
        times = 0

        async def host_of(self, schedule_id: str) -> str:
            self.times += 1
            return await super().host_of(schedule_id)

    owner, places = Forgetful(), Asked(exists)
    gateway = Gateway(FakeOwners(owner), places, call_timeout_seconds=PATIENCE_SECONDS, deadline_seconds=0.3)
    with pytest.raises(Unavailable):
        await gateway.inspect(SCHEDULE)
    assert 1 <= owner.looks <= 1 + 0.3 / FIND_PAUSE_SECONDS
    gateway._deadline = PATIENCE_SECONDS
    asking = asyncio.create_task(gateway.inspect(SCHEDULE))
    await until(lambda: owner.looks > 2 + 0.3 / FIND_PAUSE_SECONDS)
    asking.cancel()
    await gateway.close()
    assert places.times >= owner.looks


# --- many schedules in one lane ---------------------------------------------------------------------------------------
async def test_requests_of_many_schedules_travel_in_one_call_each_opened_once(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    names = [f"s{number}" for number in range(20)]
    await asyncio.gather(*(wish(gateway, 0, name) for name in names))
    assert sorted(owner.opened) == sorted(names)
    owner.loads.clear()
    await asyncio.gather(*(wish(gateway, n, name) for n, name in enumerate(names * 3)))
    assert owner.loads == [dict.fromkeys(names, 3)]


async def test_one_schedule_s_flood_leaves_the_others_their_share_of_every_call(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.gateway.lane.CALL_LIMIT", 10)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    await asyncio.gather(wish(gateway, 0, "s1"), wish(gateway, 0, "s2"))
    owner.loads.clear()
    flood = [wish(gateway, number, "s1") for number in range(100)]
    few = [wish(gateway, number, "s2") for number in range(5)]
    await asyncio.gather(*few)
    assert owner.loads == [{"s1": 5, "s2": 5}]
    await asyncio.gather(*flood)


async def test_with_more_schedules_than_a_call_holds_each_has_its_turn(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.gateway.lane.CALL_LIMIT", 3)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    names = [f"s{number}" for number in range(5)]
    await asyncio.gather(*(wish(gateway, 0, name) for name in names))
    owner.loads.clear()
    await asyncio.gather(*(wish(gateway, n, name) for n, name in enumerate(names * 2)))
    assert [list(load) for load in owner.loads] == [
        ["s0", "s1", "s2"],
        ["s3", "s4", "s0"],
        ["s1", "s2", "s3"],
        ["s4"],
    ]


async def test_a_schedule_s_requests_keep_their_order(open_gateway: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.gateway.lane.CALL_LIMIT", 4)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    await asyncio.gather(*(wish(gateway, n, f"s{n % 2}") for n in range(20)))
    for remainder in range(2):
        ids = [request.id for call in owner.calls for request in call if int(request.id[1:]) % 2 == remainder]
        assert ids == [f"r{n}" for n in range(20) if n % 2 == remainder]


async def test_a_request_that_cannot_be_encoded_fails_alone(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    await wish(gateway, 0)
    half = commands.Cancel("b", "c", "a", "\ud800")
    neighbours = [wish(gateway, 1), wish(gateway, 2, "s2")]
    with pytest.raises(Unencodable):
        await gateway.send(SCHEDULE, half, request_id="half")
    assert all(isinstance(answer, Done) for answer in await asyncio.gather(*neighbours))


@pytest.mark.parametrize(("ours", "error"), [(True, Impossible), (False, Unencodable)])
async def test_a_request_that_cannot_be_carried_out_fails_alone(
    open_gateway: Open, ours: bool, error: type[Exception]
) -> None:
    owner = FakeOwner()
    owner.behaviour = lambda request: Fault("no", ours) if request.id == "r2" else 7
    gateway = open_gateway(FakeOwners(owner))
    first, second, third = await asyncio.gather(*(wish(gateway, n) for n in (1, 2, 3)), return_exceptions=True)
    assert (first, third) == (Done(7), Done(7))
    assert isinstance(second, error)


async def test_a_schedule_that_is_slow_to_open_holds_up_no_other(open_gateway: Open) -> None:
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner))
    await wish(gateway, 0, "s2")
    owner.opening.clear()
    slow = wish(gateway, 1)
    await until(lambda: SCHEDULE in owner.opened)
    async with asyncio.timeout(PATIENCE_SECONDS):
        for number in range(10):
            await wish(gateway, number, "s2")
    assert not slow.done()
    owner.opening.set()
    assert isinstance(await slow, Done)


@pytest.mark.parametrize(("standing", "error"), [(Standing.UNKNOWN, UnknownSchedule), (Standing.FULL, Unavailable)])
async def test_a_schedule_that_cannot_be_opened_is_told_so_and_costs_the_others_nothing(
    open_gateway: Open, standing: Standing, error: type[Exception]
) -> None:
    owner = FakeOwner()
    owner.refuses = {SCHEDULE: standing}
    gateway = open_gateway(FakeOwners(owner))
    refused, taken = await asyncio.gather(wish(gateway, 1), wish(gateway, 2, "s2"), return_exceptions=True)
    assert isinstance(refused, error)
    assert isinstance(taken, Done)


async def test_a_schedule_that_has_moved_is_looked_for_again(open_gateway: Open) -> None:
    class Moving(OneHost):
        asked = 0

        async def host_of(self, schedule_id: str) -> str:
            self.asked += 1
            if self.asked > 1:
                owner.refuses.clear()
            return await super().host_of(schedule_id)

    owner = FakeOwner()
    owner.refuses = {SCHEDULE: Standing.ELSEWHERE}
    places = Moving(exists)
    gateway = Gateway(FakeOwners(owner), places)
    assert await wish(gateway, 1) == Done(1)
    assert places.asked == 2
    await gateway.close()


async def test_a_process_that_dies_takes_no_schedule_with_it(open_gateway: Open) -> None:
    dead, fresh = FakeOwner(), FakeOwner()
    owners = FakeOwners(dead, fresh)
    gateway = open_gateway(owners)
    names = [f"s{number}" for number in range(5)]
    await asyncio.gather(*(wish(gateway, 0, name) for name in names))
    dead.gate.clear()
    wishes = [wish(gateway, n, name) for n, name in enumerate(names)]
    await until(lambda: sum(map(len, dead.calls)) == 2 * len(names))
    dead.lost = True
    dead.gate.set()
    assert all(isinstance(answer, Done) for answer in await asyncio.gather(*wishes))
    assert sorted(fresh.opened) == names
    assert owners.found == 2


async def test_a_silent_process_is_replaced_once_whatever_number_of_calls_it_owes(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.gateway.lane.PATIENCE_SECONDS", 0.01)
    silent, fresh = FakeOwner(), FakeOwner()
    owners = FakeOwners(silent, fresh)
    gateway = open_gateway(owners, call_timeout_seconds=SILENT_SECONDS)
    await asyncio.gather(wish(gateway, 0), wish(gateway, 0, "s2"))
    silent.gate.clear()
    silent.opening.clear()
    stranded = [wish(gateway, 1)]
    await until(lambda: len(silent.calls[-1]) == 1 and silent.calls[-1][0].id == "r1")
    stranded += [wish(gateway, 2, "s2"), wish(gateway, 3, "s3")]
    assert all(isinstance(answer, Done) for answer in await asyncio.gather(*stranded))
    assert owners.replaced == [silent]


async def test_each_request_keeps_its_own_deadline_whatever_it_travels_with(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.gateway.gateway.EXPIRY_SECONDS", 0.02)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner), deadline_seconds=0.3)
    owner.behaviour = lambda request: None
    early = wish(gateway, 1)
    await turns(1)
    gateway._deadline = PATIENCE_SECONDS
    late = wish(gateway, 2)
    with pytest.raises(Unavailable):
        await early
    assert any({request.id for request in call} == {"r1", "r2"} for call in owner.calls)
    assert not late.done()
    owner.behaviour = lambda request: 7
    assert await late == Done(7)


async def test_what_cannot_be_opened_in_time_is_refused_at_once_and_told_when_to_come_again(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.gateway.turns.AT_ONCE", 1)
    monkeypatch.setattr("actors.gateway.turns.EXPECTED_SECONDS", 1.0)
    owner = FakeOwner()
    gateway = open_gateway(FakeOwners(owner), deadline_seconds=5.0)
    owner.opening.clear()
    wishes = [wish(gateway, 0, f"s{number}") for number in range(10)]
    await until(lambda: any(each.done() for each in wishes))
    refused = [each for each in wishes if each.done()]
    assert len(refused) == 7  # one is being opened, two are expected within half the deadline
    for each in refused:
        with pytest.raises(Unavailable) as failure:
            await each
        assert failure.value.retry_after_seconds == 3
    owner.opening.set()
    await asyncio.gather(*(each for each in wishes if each not in refused))


async def test_a_schedule_whose_machine_is_out_of_reach_is_not_waited_for_until_the_deadline(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutOff(FakeOwners):
        async def find(self, name: str) -> FakeOwner:
            raise Unreachable("no route")

    monkeypatch.setattr("actors.gateway.gateway.UNREACHABLE_SECONDS", 0.02)
    gateway = open_gateway(CutOff())
    with pytest.raises(Unavailable, match="cannot be reached"):
        await wish(gateway, 1)


async def test_what_led_to_processes_that_died_is_not_kept_and_its_calls_stay_counted(open_gateway: Open) -> None:
    line = [FakeOwner() for _ in range(20)]
    gateway = open_gateway(FakeOwners(*line))
    for number, owner in enumerate(line):
        assert await wish(gateway, number) == Done(1)
        owner.lost = number + 1 < len(line)
    assert gateway.calls >= len(line)
    gc.collect()
    lanes = [each for each in gc.get_objects() if isinstance(each, Lane)]
    assert len([each for each in lanes if each.owner in line]) <= 2  # the one there is, and the last of the others
