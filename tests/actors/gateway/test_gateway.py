"""The gateway against owners that are quick, slow, silent, dead or new; no Ray."""

from __future__ import annotations

import asyncio

import pytest

from actors.gateway.gateway import FIND_PAUSE_SECONDS, Gateway, Unavailable, UnknownSchedule
from actors.wire.messages import Fault, Reply, Standing
from engine import commands
from engine.refusals import Code, Refusal
from engine.state import Done
from engine.turn import Request
from persistence.journal.journal import JournalUnavailable
from tests.support.local_owners import OneHost
from tests.support.services.fake_owners import SCHEDULE, SILENT_SECONDS, FakeOwner, FakeOwners, Open, exists, wish
from tests.support.waiting import PATIENCE_SECONDS, turns, until

REFUSED = Refusal(Code.SALE_CLOSED)


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


async def test_where_there_is_no_room_to_remember_all_the_one_not_asked_for_longest_is_forgotten(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one first asked for: that may be the sale that everybody came for."""
    monkeypatch.setattr("actors.gateway.gateway.QUEUES_LIMIT", 2)
    gateway = open_gateway(FakeOwners(FakeOwner()))
    for number, schedule_id in enumerate((SCHEDULE, "s2", SCHEDULE, "s3")):
        await wish(gateway, number, schedule_id)
    assert [each for each in (SCHEDULE, "s2", "s3") if gateway.is_open(each)] == [SCHEDULE, "s3"]


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
