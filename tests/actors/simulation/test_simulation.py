"""Everything that may befall schedules on sale, in any order and at any turn of the event loop: whoever is answered has
what they were told, nothing is sold twice, and once it is over each schedule answers again.

Gateways, placement, hosts, owners and committers are the real ones; database, broker and cache are in memory
(`weather.py`), and time is the loop's own (`tests/support/clocks.py`), told by clocks that may be apart by more than a
hold lasts. A failure names its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, cast

import asyncpg
import pytest

from actors.gateway.gateway import Gateway, OwnerLost, Unavailable, UnknownSchedule
from actors.owner import publisher, snapshots
from actors.owner.host import Host
from actors.owner.process import Places
from actors.owner.readers import SharedReaders
from actors.owner.schedule import Schedule
from engine import commands as c
from engine.booking import Booking
from engine.events import Cancelled, Expired, Held, Opened, PlanChanged, TermsChanged, Withdrawn, encode_event
from engine.refusals import Refusal
from engine.snapshot import state_hash
from engine.state import Answer
from persistence.database.ending_tasks import end
from persistence.journal import history
from persistence.journal.committer import Committer
from persistence.journal.journal import JournalUnavailable
from persistence.journal.memory import MemoryJournal
from persistence.journal.placement import Placement, names
from tests.actors.simulation.weather import Cache, Database, HeadRows, Weather
from tests.engine.plans.houses import ANN, BOB, EVE, NOW, corrected, plan_document, succession, terms
from tests.support.clocks import ClockApart, JumpingLoop, ManualClock
from tests.support.waiting import turns

DOCUMENT = plan_document()
PLANS = succession(DOCUMENT, corrected(DOCUMENT), corrected(DOCUMENT, back=True))
PRICES = {1: {"VIP": 150_000, "R": 90_000, "BOX": 200_000}, 2: {"VIP": 150_000, "R": 90_000}}
SCHEDULES = [f"00000000-0000-7000-8000-00000000000{number}" for number in range(1, 4)]
HOSTS = names(2)
SEATS = [f"{row}-{number}" for row in "AB" for number in range(1, 7)]  # those that no corrected plan takes away
CUSTOMERS = (ANN, BOB, EVE)
KINDS = (
    *("away", "slow", "loses_answers", "cache_away", "broker", "time", "claimed", "silent", "memory"),
    *("lock", "overrule", "retire", "look", "drain", "move", "die"),
)
HOLD_MS = 60_000
CLOCKS_APART_MS = (30_000, -30_000, 2 * HOLD_MS)  # of machines that nobody has set
DEADLINE_SECONDS = 15.0
AFTERWARDS_SECONDS = 8.0  # in which a schedule answers once all is well: a recovery that has failed often waits for 2
SETTLED_SECONDS = 60.0  # in which what an owner owes to readers and to the topic is told
OVER_SECONDS = 60.0  # in which whatever was begun has ended once all is well
SNAPSHOT_EVERY = 6


class Process:
    """One life of a process of owners. What it was asked goes on when its caller has gone, and ends with it."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world
        self._asked: set[asyncio.Task[Any]] = set()
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.awake = asyncio.Event()
        self.awake.set()
        weather = world.weather
        journal = Committer(*(Database(weather, world.rows, name) for _ in range(2)))
        readers = SharedReaders(world.cache)
        clock = ClockApart(world.clock, weather.chance.choice([0, 0, *CLOCKS_APART_MS]))

        def start(schedule_id: str) -> Schedule:
            idle = weather.chance.choice([2.0, 300.0])
            return Schedule(
                schedule_id, journal=journal, cache=readers, log=weather.log, clock=clock, idle_seconds=idle
            )

        self.host = Host(start, Places(cast("asyncpg.Pool[Any]", world.head_rows), name))
        self._beside = [asyncio.create_task(self.host.tidy()), asyncio.create_task(self._follow())]

    async def _follow(self) -> None:
        """As `OwnerProcess` follows its machine's row."""
        while True:
            await asyncio.sleep(0.5)
            if self.name in self._world.draining:
                await self.host.drain()
            else:
                self.host.resume()

    async def kill(self) -> None:
        if not self.died.done():
            self.died.set_result(None)
        self.awake.set()
        await end([*self._beside, *self._asked])
        await self.host.close()

    # --- as an owner --------------------------------------------------------------------------------------------------
    async def submit(self, data: bytes) -> bytes:
        return await self._answer(lambda: self.host.submit(data))

    async def inspect(self, schedule_id: str) -> bytes | None:
        return await self._answer(lambda: self.host.inspect(schedule_id))

    async def retire(self, schedule_id: str) -> None:
        await self._answer(lambda: self.host.retire(schedule_id))

    def close(self) -> None:
        """Others may reach it, too."""

    async def _answer(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        async def asked() -> Any:
            await self.awake.wait()
            answer = await ask()
            await self.awake.wait()
            return answer

        if self.died.done():
            raise OwnerLost("gone")
        await turns(self._world.chance.randrange(3))
        task = asyncio.create_task(asked())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        await asyncio.wait({task, self.died}, return_when=asyncio.FIRST_COMPLETED)
        if self.died.done():
            raise OwnerLost("gone in the middle")
        return task.result()


class World:
    """Two workers, two processes of owners, three schedules. It is the `Owners` of both gateways, and their `Hosts`."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.weather = Weather(chance)
        self.clock = ManualClock()
        self.cache = Cache(self.weather)
        beginning = MemoryJournal()
        for schedule_id in SCHEDULES:
            beginning.open_schedule(schedule_id, PLANS, NOW, Opened(PLANS.digest, terms(hold_ms=HOLD_MS)))
        self.rows: dict[str, Any] = beginning.schedules
        self.head_rows = HeadRows(self.weather, self.rows)
        self.processes: dict[str, Process] = {}
        self.former: list[Process] = []
        self.draining: set[str] = set()
        pool = cast("asyncpg.Pool[Any]", self.head_rows)
        self.gateways = [
            Gateway(self, Placement(pool, self), deadline_seconds=DEADLINE_SECONDS, call_timeout_seconds=3.0)
            for _ in range(2)
        ]
        self.requests = 0
        self.plans = dict.fromkeys(SCHEDULES, 0)
        self.wishes: dict[str, tuple[str, c.AnyCommand]] = {}  # by request: the schedule and what was asked
        self.answers: dict[str, Answer | Refusal] = {}  # by request, where it was not refused
        self.begun: list[asyncio.Task[None]] = []

    # --- hosts and owners ---------------------------------------------------------------------------------------------
    def candidates(self) -> Sequence[str]:
        return [host for host in HOSTS if host not in self.draining]

    def holds(self, host: str) -> bool:
        return host in HOSTS

    async def find(self, name: str) -> Process:
        await asyncio.sleep(self.chance.choice([0, 0.01, 1.0]))
        if name not in self.processes:
            self.processes[name] = Process(self, name)
        return self.processes[name]

    async def current(self, name: str) -> Process | None:
        await turns(self.chance.randrange(3))
        return self.processes.get(name)

    async def replace(self, name: str, owner: Process) -> None:
        await turns(self.chance.randrange(3))
        if self.processes.get(name) is owner:
            del self.processes[name]
            self.former.append(owner)  # it may wake, and think that it is the owner
            if self.chance.random() < 0.7:
                await owner.kill()

    # --- what customers do --------------------------------------------------------------------------------------------
    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.begun.append(asyncio.create_task(work))

    def wish(self, schedule_id: str) -> str:
        """A new request of somebody."""
        self.requests += 1
        request, customer = f"r{self.requests}", self.chance.choice(CUSTOMERS)
        mine = [key for key, answer in self.answers.items() if self.wishes[key][0] == schedule_id and key != request]
        command: c.AnyCommand
        if mine and self.chance.random() < 0.4:
            booking = self.answers[self.chance.choice(mine)]
            assert isinstance(booking, Booking)
            command = c.Cancel(booking.id, f"x{request}", booking.customer_id)
        elif self.chance.random() < 0.5:
            command = c.HoldBest(f"b{request}", customer, 1, category="VIP")
        else:
            command = c.HoldSeats(f"b{request}", customer, tuple(self.chance.sample(SEATS, 2)))
        self.wishes[request] = (schedule_id, command)
        return request

    async def send(self, request: str) -> None:
        schedule_id, command = self.wishes[request]
        gateway = self.chance.choice(self.gateways)
        began = asyncio.get_running_loop().time()
        try:
            answer = await gateway.send(schedule_id, command, request_id=request, fingerprint="f")
        except (Unavailable, UnknownSchedule):
            return
        finally:
            took = asyncio.get_running_loop().time() - began
            assert took < DEADLINE_SECONDS + 1, f"{request} was told after {took} s"
        if isinstance(answer, Booking):
            first = self.answers.setdefault(request, answer)
            assert isinstance(first, Booking)
            assert first.id == answer.id

    async def hurried(self, request: str) -> None:
        """Sends it, and hangs up."""
        task = asyncio.ensure_future(self.send(request))
        await turns(self.chance.randrange(12))
        if self.chance.random() < 0.3:
            await asyncio.sleep(self.chance.uniform(0, 2))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    # --- what befalls them --------------------------------------------------------------------------------------------
    async def overrule(self, schedule_id: str) -> None:
        """As a route writes past an owner, which is then told, soon or late."""
        row = self.rows[schedule_id]
        self.weather.locked.add(schedule_id)
        await asyncio.sleep(self.chance.choice([0, 0.05, 0.5]))
        kind = self.chance.random()
        if kind < 0.08:
            event: Any = Withdrawn("organizer")
        elif kind < 0.3 and self.plans[schedule_id] < 2:
            number = self.plans[schedule_id] = self.plans[schedule_id] + 1
            changed = terms(hold_ms=HOLD_MS, prices=PRICES[number])
            event = PlanChanged(number, PLANS.numbered(number).digest, changed)
        else:
            prices = PRICES.get(self.plans[schedule_id], PRICES[2])
            event = TermsChanged(terms(hold_ms=HOLD_MS, prices=prices, max_seats_per_customer=0))
        row.records.append((self.clock.ms, encode_event(event), "", ""))
        row.epoch += 1 if row.epoch else 0
        self.weather.locked.discard(schedule_id)
        await asyncio.sleep(self.chance.choice([0, 0, 0.01, 3.0]))
        await self.retire(schedule_id)

    async def retire(self, schedule_id: str) -> None:
        while True:
            try:
                async with asyncio.timeout(5.0):
                    return await self.chance.choice(self.gateways).retire(schedule_id)
            except (JournalUnavailable, TimeoutError):
                await asyncio.sleep(1.0)

    async def look(self, schedule_id: str) -> None:
        with contextlib.suppress(Unavailable, UnknownSchedule, JournalUnavailable):
            await self.chance.choice(self.gateways).peek(schedule_id)

    async def drain(self, schedule_id: str) -> None:
        name = self.rows[schedule_id].host or self.chance.choice(HOSTS)
        self.draining.add(name)
        await asyncio.sleep(self.chance.uniform(0, 3))
        self.draining.discard(name)

    async def lock(self, schedule_id: str) -> None:
        self.weather.locked.add(schedule_id)
        await asyncio.sleep(self.chance.choice([0.01, 0.3, 2.0]))
        self.weather.locked.discard(schedule_id)

    async def move(self, schedule_id: str) -> None:
        """The schedule leaves for another process, as from one that is to be somebody's own."""
        process = self.processes.get(self.rows[schedule_id].host)
        if process is not None:
            moving = asyncio.create_task(process.host.hand_over([schedule_id]))
            await asyncio.wait({moving, process.died}, return_when=asyncio.FIRST_COMPLETED)
            await end([moving])

    async def die(self, schedule_id: str) -> None:
        """The process that has the schedule is gone, or one of them."""
        process = self.processes.pop(self.rows[schedule_id].host or self.chance.choice(HOSTS), None)
        if process is not None:
            await process.kill()

    def disturb(self, kind: str, schedule_id: str) -> None:
        """One of all the things that may happen."""
        chance, weather = self.chance, self.weather
        process = self.processes.get(self.rows[schedule_id].host or chance.choice(HOSTS))
        if kind in ("away", "slow", "loses_answers", "cache_away"):
            setattr(weather, kind, not getattr(weather, kind))
        elif kind == "broker":
            weather.log.available = not weather.log.available
        elif kind == "time":
            self.clock.ms += chance.choice([1_000, 3_000, HOLD_MS])
        elif kind == "claimed":
            self.rows[schedule_id].epoch += 1  # by somebody else, who died
        elif kind == "silent" and process is not None:
            process.awake.clear()
        elif kind == "memory" and process is not None:
            process.host._memory = chance.choice([60_000, 90_000, 2**30])
        elif kind in ("lock", "overrule", "retire", "look", "drain", "move", "die"):
            self.begin(getattr(self, kind)(schedule_id))

    async def all_is_well(self) -> None:
        self.weather.clears_up()
        self.draining.clear()
        for process in self.processes.values():
            process.awake.set()
            process.host._memory = 2**30
        async with asyncio.timeout(OVER_SECONDS):
            await asyncio.gather(*self.begun)
        for process in self.former:
            await process.kill()

    # --- what must hold -----------------------------------------------------------------------------------------------
    async def check_liveness(self) -> None:
        """Each schedule answers a hold, whoever asks; and owes nobody anything after a while."""
        for gateway in self.gateways:
            for schedule_id in SCHEDULES:
                self.requests += 1
                request = f"r{self.requests}"
                command = c.HoldBest(f"b{request}", ANN, 1, category="VIP")
                self.wishes[request] = (schedule_id, command)
                async with asyncio.timeout(AFTERWARDS_SECONDS):
                    answer = await gateway.send(schedule_id, command, request_id=request, fingerprint="f")
                if isinstance(answer, Booking):
                    self.answers[request] = answer
        async with asyncio.timeout(SETTLED_SECONDS):
            while owing := [key for key, row in self.rows.items() if row.published_seq < row.seq]:
                await asyncio.sleep(1.0)
                for key in owing:  # as the sweeper does: its owner may have left without having published everything
                    await self.gateways[0].send(key, c.Expire(), request_id="")
            for schedule_id in SCHEDULES:
                while (view := await self.cache.get(schedule_id)) is None or view.version < self.rows[schedule_id].seq:
                    await asyncio.sleep(1.0)

    async def check_memory(self) -> None:
        """What owners hold in memory is what the journal says."""
        for schedule_id in SCHEDULES:
            async with asyncio.timeout(AFTERWARDS_SECONDS):
                found = await self.gateways[0].inspect(schedule_id)
            state = await history.latest(self._journal(), schedule_id)
            assert state is not None
            assert (found.version, found.state_hash) == (state.seq, state_hash(state))

    async def check_safety(self) -> None:
        """Nothing is sold twice, and whoever was told so has a booking."""
        kept: set[tuple[str, str]] = set()
        for schedule_id in SCHEDULES:
            plan = PLANS.numbered(0)
            held: dict[str, str] = {}
            requests: list[str] = []
            for record in await self._journal().read(schedule_id, 0, 10_000):
                event = record.event
                requests += [record.request_id] if record.request_id else []
                if isinstance(event, PlanChanged):
                    plan = PLANS.numbered(event.plan_number)
                elif isinstance(event, Held):
                    for seat in (plan.ids[index] for index in event.seats):
                        assert seat not in held, f"{seat} is sold twice"
                        held[seat] = event.booking_id
                    kept.add((schedule_id, record.request_id))
                elif isinstance(event, Cancelled | Expired):
                    held = {seat: booking for seat, booking in held.items() if booking != event.booking_id}
                    kept.add((schedule_id, record.request_id))
            assert len(set(requests)) == len(requests), "a request was carried out twice"
        assert {(self.wishes[request][0], request) for request in self.answers} <= kept, "an answer is lost"

    def _journal(self) -> MemoryJournal:
        journal = MemoryJournal()
        journal.schedules = self.rows
        return journal

    async def close(self) -> None:
        """Everything ends, in time, and leaves nothing behind."""
        async with asyncio.timeout(AFTERWARDS_SECONDS):
            for process in self.processes.values():
                await process.host.drain()
                assert not len(process.host)
        async with asyncio.timeout(AFTERWARDS_SECONDS):
            for gateway in self.gateways:
                await gateway.close()
            for process in self.processes.values():
                await process.kill()
        await asyncio.sleep(60.0)  # who tries for a locked head row gives up after 30
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def story(seed: int) -> None:
    chance = random.Random(seed)
    world = World(chance)
    kinds = chance.sample(KINDS, chance.randrange(1, 6))  # few at a time meet more often
    schedules = SCHEDULES[: chance.randrange(1, 4)]
    for _ in range(chance.randrange(20, 80)):
        schedule_id = chance.choice(schedules)
        for _ in range(chance.randrange(3)):
            again = [key for key, (whose, _) in world.wishes.items() if whose == schedule_id]
            request = chance.choice(again) if again and chance.random() < 0.2 else world.wish(schedule_id)
            world.begin(world.hurried(request) if chance.random() < 0.25 else world.send(request))
        while chance.random() < 0.4:
            world.disturb(chance.choice(kinds), schedule_id)
            await turns(chance.randrange(3))
        await turns(chance.randrange(8))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.choice([0.01, 0.1, 1.0]))
    await world.all_is_well()
    await world.check_liveness()
    await world.check_memory()
    await world.check_safety()
    await world.close()


async def _in_this_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    await asyncio.sleep(0.01)
    return work(*arguments)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots are made soon, and in this thread: another one's time would not be the loop's. Little is remembered."""
    monkeypatch.setattr("actors.gateway.gateway.QUEUES_LIMIT", 2)
    monkeypatch.setattr(asyncio, "to_thread", _in_this_thread)
    monkeypatch.setattr(snapshots, "SNAPSHOT_EVERY", SNAPSHOT_EVERY)
    monkeypatch.setattr(publisher, "QUEUE_LIMIT", 10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("first", range(0, 200, 40))
def test_whatever_happens_nothing_is_lost_or_sold_twice_and_each_schedule_answers_afterwards(first: int) -> None:
    tell(range(first, first + 40))


@pytest.mark.long
@pytest.mark.usefixtures("small")
def test_whatever_happens_in_thousands_of_stories() -> None:
    tell(range(10_000, 15_000))


def tell(seeds: Sequence[int]) -> None:
    """A story for each seed."""
    for seed in seeds:
        try:
            with asyncio.Runner(loop_factory=JumpingLoop) as runner:
                runner.run(story(seed))
        except Exception as error:
            raise AssertionError(f"the story of seed {seed}") from error
