"""Money and seats in every interleaving: the real owner of a schedule against a provider, clumsy workers and bad luck.

Hypothesis chooses what happens next: customers, workers that die between any two steps, webhooks that come twice, late
or in the wrong order, look-ups, refunds, an organizer who calls it all off, commits that fail before or after they took
effect, owners that crash or depose each other. `Ledger` reads the journal as an outsider and checks each record against
what the provider has really taken and given back. At the end of each story everything is left to settle; then everybody
has the seat or the money, once.
"""

from __future__ import annotations

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

import actors.owner.snapshots
from engine import commands as c
from engine.booking import Booking
from engine.refund_policy import DEFAULT_POLICY, RefundPolicy, RefundStep
from engine.refusals import Code, Refusal
from engine.turn import Request
from persistence.providers.provider import NEVER_CHARGED_AFTER_MS, Approved
from tests.engine.plans.houses import ANN, DAY
from tests.support.money.ledger import ADMIN_FEES, PLAN, Account, Charge, Outcome, Provider
from tests.support.money.world import CUSTOMERS, HOLD_MS, World, on_terms

HALF_UNTIL_THE_EVE: RefundPolicy = (RefundStep(1, 50),)
POLICIES = st.sampled_from([DEFAULT_POLICY, DEFAULT_POLICY, HALF_UNTIL_THE_EVE, ()])
WHO = st.sampled_from(CUSTOMERS)
PICK = st.integers(0, 11)
PURCHASES = st.tuples(WHO, st.integers(1, 3), st.sampled_from(["held", "asked", "paid", "paid"]))
SEATS = st.lists(st.sampled_from(PLAN.ids), min_size=1, max_size=3, unique=True).map(tuple)
PART = st.integers(0, 3)  # how many seats are given back; 0: all
PAUSES = st.sampled_from([1_000, 30_000, NEVER_CHARGED_AFTER_MS, HOLD_MS, 4 * DAY])
# approved | declined: the worker hears it; charged: it does not
FATES = st.sampled_from(["approved", "approved", "declined", "charged"])
WISHES = st.tuples(st.sampled_from(["hold", "pay", "tell", "cancel", "refund", "confirm refund", "end"]), PICK, WHO)
LUCK = st.sampled_from(["good", "crash", "depose", "fails before", "fails after"])


class MoneyMachine(RuleBasedStateMachine):
    """The rules by which a story may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot_every = actors.owner.snapshots.SNAPSHOT_EVERY
        actors.owner.snapshots.SNAPSHOT_EVERY = 7  # so that most recoveries start from a snapshot
        self.world = self.make_world()
        self.news: list[tuple[str, Outcome]] = []  # what workers, look-ups and webhooks know, and may tell at any time

    def make_world(self) -> World:
        return World(Provider())

    def teardown(self) -> None:
        world = self.world
        try:
            if not world.failed:
                world.run(world.settle())
                world.check_settled()
                world.run(world.check_agreement())
        finally:
            world.close()
            actors.owner.snapshots.SNAPSHOT_EVERY = self.snapshot_every

    @invariant()
    def memory_journal_and_tables_agree(self) -> None:
        self.world.run(self.world.check_agreement())

    # --- what there is to choose from ---------------------------------------------------------------------------------
    def an_account(self, pick: int, *standings: str) -> Account | None:
        """A booking, a fitting one if there is one: most rules are about those."""
        accounts = list(self.world.ledger.accounts.values())
        fitting = [account for account in accounts if account.standing in standings]
        chosen = fitting if fitting and pick < 10 else accounts
        return chosen[-1 - pick % len(chosen)] if chosen else None

    def a_charge(self, pick: int, *standings: str) -> Charge:
        charges = list(self.world.ledger.charges.values())
        fitting = [charge for charge in charges if charge.standing in standings]
        chosen = fitting if fitting and pick < 9 else charges
        return chosen[-1 - pick % len(chosen)]

    def has_accounts(self) -> bool:
        return bool(self.world.ledger.accounts)

    def has_charges(self) -> bool:
        return bool(self.world.ledger.charges)

    def a_refund(self, pick: int, who: str, part: int = 0, fee: int | None = None) -> c.Refund | None:
        account = self.an_account(pick, "sold")
        if account is None:
            return None
        seats = tuple(PLAN.ids[seat] for seat, _ in account.places[:part])
        by = "admin" if not who else "customer"
        refund_id = self.world.new_id("f")
        return c.Refund(account.id, who and account.customer, refund_id, account.paid_by, seats, "", by, fee)

    # --- customers ----------------------------------------------------------------------------------------------------
    @rule(who=WHO, seats=SEATS)
    def hold(self, who: str, seats: tuple[str, ...]) -> None:
        self.world.run(self.world.ask(c.HoldSeats(self.world.new_id("b"), who, seats)))

    @rule(who=WHO, quantity=st.integers(1, 4))
    def hold_best(self, who: str, quantity: int) -> None:
        self.world.run(self.world.ask(c.HoldBest(self.world.new_id("b"), who, quantity)))

    @initialize(purchases=st.lists(PURCHASES, max_size=4))
    def before_the_story_begins(self, purchases: list[tuple[str, int, str]]) -> None:
        for purchase in purchases:
            self.world.run(self._buy(*purchase))

    @rule(purchase=PURCHASES)
    def buy(self, purchase: tuple[str, int, str]) -> None:
        """Without a hitch as far as it goes, so that there is something to go wrong with."""
        self.world.run(self._buy(*purchase))

    async def _buy(self, who: str, quantity: int, how_far: str) -> None:
        world = self.world
        held = await world.ask(c.HoldBest(world.new_id("b"), who, quantity))
        if isinstance(held, Booking) and how_far != "held":
            await world.ask(c.RequestPayment(held.id, who, world.new_id("p"), "sandbox"))
            payment_id = world.ledger.accounts[held.id].paying
            if how_far == "paid":
                await world.record(payment_id, world.provider.charge(payment_id, who, held.amount, True))

    @precondition(has_accounts)
    @rule(pick=PICK, seats=SEATS)
    def change(self, pick: int, seats: tuple[str, ...]) -> None:
        account = self.an_account(pick, "held", "sold")
        assert account is not None
        self.world.run(self.world.ask(c.Change(account.id, account.customer, seats)))

    @precondition(has_accounts)
    @rule(pick=PICK)
    def extend(self, pick: int) -> None:
        account = self.an_account(pick, "held")
        assert account is not None
        self.world.run(self.world.ask(c.Extend(account.id, account.customer)))

    @precondition(has_accounts)
    @rule(pick=PICK)
    def confirm_what_is_free(self, pick: int) -> None:
        account = self.an_account(pick, "held")
        assert account is not None
        self.world.run(self.world.ask(c.Confirm(account.id, account.customer)))

    @precondition(has_accounts)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        account = self.an_account(pick, "held")
        assert account is not None
        self.world.run(self.world.ask(c.Cancel(account.id, self.world.new_id("x"), account.customer)))

    @precondition(has_accounts)
    @rule(pick=PICK, part=PART)
    def refund(self, pick: int, part: int) -> None:
        command = self.a_refund(pick, ANN, part)
        assert command is not None
        self.world.run(self.world.ask(command))

    # --- a payment, step by step: whoever takes one step may be dead before the next ----------------------------------
    @precondition(has_accounts)
    @rule(pick=PICK)
    def request_payment(self, pick: int) -> None:
        account = self.an_account(pick, "held")
        assert account is not None
        command = c.RequestPayment(account.id, account.customer, self.world.new_id("p"), "sandbox")
        self.world.run(self.world.ask(command))

    @precondition(has_charges)
    @rule(pick=PICK, fate=FATES)
    def charge(self, pick: int, fate: str) -> None:
        charge = self.a_charge(pick, "asked")
        outcome = self.world.provider.charge(charge.id, charge.customer, charge.amount, fate != "declined")
        if fate != "charged":
            self.news.append((charge.id, outcome))

    @precondition(has_charges)
    @rule(pick=PICK)
    def look_up(self, pick: int) -> None:
        charge = self.a_charge(pick, "asked")
        outcome = self.world.look_up(charge)
        if outcome is not None:
            self.news.append((charge.id, outcome))

    @precondition(lambda self: any(charge.standing == "asked" for charge in self.world.ledger.charges.values()))
    @rule(pick=PICK)
    def settlement_gives_up(self, pick: int) -> None:
        """If nothing is known of it when it is time to."""
        world, charge = self.world, self.a_charge(pick, "asked")
        world.run(world.pass_time(NEVER_CHARGED_AFTER_MS))
        outcome = world.look_up(charge)
        assert outcome is not None
        world.run(world.record(charge.id, outcome))

    @precondition(lambda self: self.given_up())
    @rule(pick=PICK)
    def money_comes_after_all(self, pick: int) -> None:
        """No good provider would; it is told by a look-up, a webhook, or nobody until the end."""
        given_up = self.given_up()
        charge = given_up[pick % len(given_up)]
        self.world.provider.charge(charge.id, charge.customer, charge.amount, True)

    def given_up(self) -> list[Charge]:
        charges = self.world.ledger.charges.values()
        return [
            each for each in charges if each.standing == "declined" and self.world.provider.look_up(each.id) is None
        ]

    @precondition(lambda self: self.news)
    @rule(pick=PICK, dies=st.booleans(), by_mistake=st.booleans())
    def record_outcome(self, pick: int, dies: bool, by_mistake: bool) -> None:
        """The news stay: they are told again, late and in any order."""
        payment_id, outcome = self.news[-1 - pick % len(self.news)]
        former = self.world.former if by_mistake else None
        self.world.run(self.world.record(payment_id, outcome, dies=dies, by_mistake=former))

    @precondition(lambda self: self.world.provider.taken or self.world.provider.declined)
    @rule(pick=PICK)
    def webhook(self, pick: int) -> None:
        provider = self.world.provider
        known = [*provider.taken, *sorted(provider.declined)]
        payment_id = known[pick % len(known)]
        outcome = provider.look_up(payment_id)
        assert outcome is not None
        self.world.run(self.world.record(payment_id, outcome))

    # --- a refund, step by step ---------------------------------------------------------------------------------------
    @precondition(lambda self: self.world.ledger.owed)
    @rule(pick=PICK, confirms=st.booleans())
    def provider_gives_back(self, pick: int, confirms: bool) -> None:
        owed = list(self.world.ledger.owed)
        refund_id = owed[pick % len(owed)]
        self.world.ask_provider(refund_id)
        if confirms:
            self.world.run(self.world.complete(refund_id))

    @precondition(lambda self: self.world.provider.given_back)
    @rule(pick=PICK)
    def complete_refund(self, pick: int) -> None:
        given_back = list(self.world.provider.given_back)
        self.world.run(self.world.complete(given_back[pick % len(given_back)]))

    # --- admin and organizer ------------------------------------------------------------------------------------------
    @precondition(has_accounts)
    @rule(pick=PICK, fee=st.sampled_from(ADMIN_FEES), part=PART)
    def admin_cancels_with_refund(self, pick: int, fee: int | None, part: int) -> None:
        world = self.world
        account = self.an_account(pick, "held", "sold")
        assert account is not None
        reply = world.run(world.ask(c.Cancel(account.id, world.new_id("x"), "", "fraud", "admin")))
        if isinstance(reply, Refusal) and reply.code is Code.BOOKING_PAID:
            command = self.a_refund(pick, "", part, fee)
            assert command is not None
            world.run(world.ask(command))

    @rule(policy=POLICIES, vip=st.sampled_from([55_001, 101]), regular=st.sampled_from([33, 33, 0]))
    def change_terms(self, policy: RefundPolicy, vip: int, regular: int) -> None:
        prices = {"VIP": vip, "R": regular}
        self.world.run(self.world.ask(c.ChangeTerms(on_terms(prices=prices, refund_policy=policy))))

    @precondition(lambda self: len(self.world.ledger.accounts) >= 3)
    @rule(again=st.booleans())
    def organizer_cancels_the_schedule(self, again: bool) -> None:
        if again or not self.world.ledger.cancelled:
            self.world.run(self.world.ask(c.CancelSchedule("snow", "organizer")))

    @precondition(lambda self: self.world.ledger.cancelled)
    @rule(many=st.integers(1, 3))
    def end_bookings(self, many: int) -> None:
        self.world.run(self.world.end_bookings(many))

    # --- time and bad luck --------------------------------------------------------------------------------------------
    @rule(ms=PAUSES)
    def time_passes(self, ms: int) -> None:
        self.world.run(self.world.pass_time(ms))

    @rule(took_effect=st.booleans())
    def the_next_commit_fails(self, took_effect: bool) -> None:
        self.world.journal.fail_next = [took_effect]

    @rule()
    def crash(self) -> None:
        self.world.run(self.world.crash())

    @rule()
    def another_owner(self) -> None:
        self.world.run(self.world.depose())

    @precondition(lambda self: self.world.former is not None)
    @rule(wish=WISHES)
    def somebody_asks_the_former_owner(self, wish: tuple[str, int, str]) -> None:
        command = self._command(*wish)
        if command is not None and self.world.former is not None:
            reply = self.world.run(self.world.ask_once(self.world.former, self.world.request(command)))
            assert reply is None or isinstance(reply, Refusal | int)

    @rule(wishes=st.lists(WISHES, min_size=2, max_size=4), luck=LUCK, cycles=st.integers(0, 6))
    def crowd(self, wishes: list[tuple[str, int, str]], luck: str, cycles: int) -> None:
        """Many at once while a commit hangs, and what becomes of the commit."""
        chosen = [command for wish in wishes if (command := self._command(*wish)) is not None]
        self.world.run(self._crowd([self.world.request(command) for command in chosen], luck, cycles))

    async def _crowd(self, requests: list[Request], luck: str, cycles: int) -> None:
        world = self.world
        owner = await world.owner()
        world.journal.gate.clear()
        asking = []
        for request in requests:
            asking.append(asyncio.create_task(world.ask_once(owner, request)))
            await asyncio.sleep(0)  # the turn in which it reaches the owner, before the next one
        if luck.startswith("fails"):
            world.journal.fail_next = [luck == "fails after"]
        elif luck == "depose":
            await world.depose()
        world.journal.gate.set()
        for _ in range(cycles):  # how far the owner gets before the crash is part of the story
            await asyncio.sleep(0)
        if luck == "crash":
            await world.crash()
        for request, reply in zip(requests, await asyncio.gather(*asking), strict=True):
            if reply is None:
                await world.ask(request.command, replace(request, again=True))

    def _command(self, wish: str, pick: int, who: str) -> c.AnyCommand | None:
        """A wish as a command, if there is anything it can be about."""
        world = self.world
        if wish == "hold":
            return c.HoldBest(world.new_id("b"), who, 1 + pick % 3)
        if wish == "end":
            return c.EndBookings((world.new_id("e"), world.new_id("e"))) if world.ledger.cancelled else None
        if wish == "tell":
            return self._told(pick)
        if wish == "confirm refund":
            return self._confirmed(pick)
        if wish == "refund":
            return self.a_refund(pick % 2, who)  # the newest, so that two of a crowd often want the same
        account = self.an_account(pick % 2, "held")
        if account is None:
            return None
        if wish == "pay":
            return c.RequestPayment(account.id, account.customer, world.new_id("p"), "sandbox")
        return c.Cancel(account.id, world.new_id("x"), account.customer)

    def _told(self, pick: int) -> c.AnyCommand | None:
        if not self.news:
            return None
        payment_id, outcome = self.news[-1 - pick % len(self.news)]
        booking_id = self.world.ledger.charges[payment_id].booking_id
        if isinstance(outcome, Approved):
            return c.ApprovePayment(booking_id, payment_id, outcome.reference)
        return c.DeclinePayment(booking_id, payment_id, outcome.reason)

    def _confirmed(self, pick: int) -> c.AnyCommand | None:
        given_back = list(self.world.provider.given_back.items())
        if not given_back:
            return None
        refund_id, (payment_id, amount) = given_back[pick % len(given_back)]
        return c.CompleteRefund(refund_id, payment_id, amount, "KRW", f"back-{refund_id}")
