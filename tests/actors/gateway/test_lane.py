"""Many schedules that share the way to one process: each has its share, and none waits for another."""

from __future__ import annotations

import asyncio
import gc

import pytest

from actors.gateway.gateway import Gateway, Impossible, Unavailable, Unencodable, UnknownSchedule
from actors.gateway.lane import Lane, Unreachable
from actors.wire.messages import Fault, Standing
from engine import commands
from engine.state import Done
from tests.support.local_owners import OneHost
from tests.support.services.fake_owners import SCHEDULE, SILENT_SECONDS, FakeOwner, FakeOwners, Open, exists, wish
from tests.support.waiting import PATIENCE_SECONDS, turns, until


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
