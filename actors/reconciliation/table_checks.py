"""What must hold of a schedule in the tables: each place sold once, money conserved, nothing left lying.

Queries on one consistent picture of the database; each costs one pass over the schedule's rows at most.
"""

from __future__ import annotations

import msgspec

from actors.reconciliation.checks import OFFENDERS_SHOWN, Check, Name, checked, equal_journal, none_of
from engine.seating_plan import SeatingPlan
from engine.state import HELD, SOLD
from persistence.database.pools import Connection
from persistence.journal import heads
from persistence.journal.heads import Head
from persistence.reconciliation import money
from persistence.reconciliation.table_mirror import TABLES, Mirror, Table, described, differing, table_digest
from persistence.reconciliation.told import joined, say

WRITTEN = "SELECT at_ms FROM journal WHERE schedule_id = $1 AND seq = $2"
# Of what no owner was there to tell of: its first record about a booking or seats is an owner's.
FIRST_OF_AN_OWNER = """
SELECT at_ms FROM journal WHERE schedule_id = $1 AND seq >= $2 AND type NOT LIKE 'schedule.%' ORDER BY seq LIMIT 1
"""

# What is younger may still be on its way: an event, a payment's outcome, a refund, the end of a hold.
PUBLISHED_WITHIN_MS = 60_000
OUTCOME_WITHIN_MS = 300_000
PAID_OUT_WITHIN_MS = 900_000
EXPIRED_WITHIN_MS = 60_000


async def against_journal(connection: Connection, schedule_id: str, mirror: Mirror) -> list[Check]:
    """The current tables, and the schedule's own row, say what the journal says."""
    checks = [await _table(connection, table, schedule_id, mirror) for table in TABLES]
    return [*checks, await _schedule(connection, schedule_id, mirror), await _sold(connection, schedule_id, mirror)]


async def by_themselves(
    connection: Connection, schedule_id: str, plan: SeatingPlan, head: Head, now_ms: int, *, publishing: bool
) -> list[Check]:
    """What can be told without the journal's replay."""
    checks = [
        await _seats(connection, schedule_id, plan),
        await _money(connection, schedule_id),
        *await _overdue(connection, schedule_id, now_ms),
    ]
    if publishing:
        checks.append(await _published(connection, schedule_id, head, now_ms))
    return checks


async def _table(connection: Connection, table: Table, schedule_id: str, mirror: Mirror) -> Check:
    sheet = mirror.sheets[table.name]
    name, expected = equal_journal(table.name), say("rows", count=len(sheet.rows))
    actual = await table_digest(connection, table, schedule_id)
    if actual == sheet.digest:
        return checked(name, expected, expected)
    wrong = await differing(connection, table, schedule_id, sheet)
    told = await described(connection, table, schedule_id, sheet, wrong[:OFFENDERS_SHOWN])
    found = joined(say("rows", count=actual[0]), say("wrong_rows", count=len(wrong)))
    return checked(name, expected, found, told, holds=False)


# --- the schedule's own row -------------------------------------------------------------------------------------------
async def _schedule(connection: Connection, schedule_id: str, mirror: Mirror) -> Check:
    """The schedule's own row says on what terms it is sold, and whether it is cancelled or withdrawn."""
    terms = mirror.state.on
    row = await connection.fetchrow(
        "SELECT currency, prices::text, (extract(epoch from starts_at) * 1000)::bigint AS starts_at,"
        " coalesce((extract(epoch from sale_opens_at) * 1000)::bigint, 0) AS sale_opens_at,"
        " (extract(epoch from coalesce(sale_closes_at, starts_at)) * 1000)::bigint AS sale_closes_at, hold_seconds,"
        " coalesce(max_seats_per_customer, 0) AS max_seats_per_customer, refund_policy::text, refund_when_moved,"
        " plan_number, transferable, cancelled_at IS NOT NULL AS cancelled, deleted_at IS NOT NULL AS withdrawn"
        " FROM schedules WHERE id = $1",
        schedule_id,
    )
    expected = {
        "currency": terms.currency,
        "prices": terms.prices,
        "starts_at": terms.starts_at_ms,
        "sale_opens_at": terms.sale_opens_at_ms,
        "sale_closes_at": terms.sale_closes_at_ms,
        "hold_seconds": terms.hold_ms // 1000,
        "max_seats_per_customer": terms.max_seats_per_customer,
        "refund_policy": [msgspec.structs.asdict(step) for step in terms.refund_policy],
        "refund_when_moved": terms.refund_when_moved,
        "plan_number": mirror.state.plan.number,
        "transferable": terms.transferable,
        "cancelled": mirror.state.cancelled is not None,
        "withdrawn": mirror.state.withdrawn is not None,
    }
    assert row is not None, "its venue's plan was read by it"
    actual = dict(row)
    for name in ("prices", "refund_policy"):
        actual[name] = msgspec.json.decode(actual[name])
    wrong = [
        say("term_otherwise", name=name, actual=_short(actual[name]), due=_short(due))
        for name, due in expected.items()
        if actual[name] != due
    ]
    found = say("terms_differ", count=len(wrong)) if wrong else say("terms")
    return checked(Name.SCHEDULE_EQUALS_JOURNAL, say("terms"), found, wrong)


def _short(value: object) -> str:
    return msgspec.json.encode(value).decode()[:200]


# --- seats ------------------------------------------------------------------------------------------------------------
async def _seats(connection: Connection, schedule_id: str, plan: SeatingPlan) -> Check:
    """No seat belongs to two live bookings; standing room is not overfull."""
    rows = await connection.fetch(
        "SELECT seat, count(*) AS times, (array_agg(id::text ORDER BY id))[1:3] AS owners"
        " FROM bookings, unnest(seats) AS seat"
        " WHERE schedule_id = $1 AND status = ANY($2) GROUP BY seat HAVING count(*) > 1 ORDER BY seat",
        schedule_id,
        list(money.LIVE),
    )
    capacity = {area.id: area.capacity for area in plan.areas}
    twice = [f"{seat}: {', '.join(owners)}" for seat, times, owners in rows if times > capacity.get(seat, 1)]
    return none_of(Name.SEATS_SOLD_ONCE, twice)


async def _sold(connection: Connection, schedule_id: str, mirror: Mirror) -> Check:
    """Sold and held places, counted in the seats as the journal has them and in the tables' bookings."""
    state = mirror.state
    in_seats = {
        name: state.seats.count(each) + sum(area[each] for area in state.areas)
        for name, each in (("sold", SOLD), ("held", HELD))
    }
    rows = await connection.fetch(
        "SELECT status, coalesce(sum(cardinality(seats)), 0) AS places FROM bookings"
        " WHERE schedule_id = $1 AND status = ANY($2) GROUP BY status",
        schedule_id,
        list(money.LIVE),
    )
    in_bookings = {"sold": 0, "held": 0}
    for status, places in rows:
        in_bookings["held" if status == "held" else "sold"] += places
    expected, actual = (say("seats_taken", **each) for each in (in_seats, in_bookings))
    return checked(Name.SOLD_SEATS_EQUAL_BOOKINGS, expected, actual)


# --- money ------------------------------------------------------------------------------------------------------------
async def _money(connection: Connection, schedule_id: str) -> Check:
    """Of each booking: what was taken, less what goes back and the fees kept, is what its seats cost."""
    total, wrong = await money.balance(connection, schedule_id, OFFENDERS_SHOWN)
    left = total.taken - total.refunded - total.fees
    return checked(
        Name.MONEY_IS_CONSERVED,
        say("money_due", value=total.value),
        say("money_found", left=left, taken=total.taken, refunded=total.refunded, fees=total.fees),
        wrong,
        holds=not wrong and left == total.value,
    )


# --- what somebody should have brought to its end ---------------------------------------------------------------------
async def _overdue(connection: Connection, schedule_id: str, now_ms: int) -> list[Check]:
    checks = []
    for name, table, within_ms in (
        (Name.PAYMENTS_HAVE_AN_OUTCOME, "payments", OUTCOME_WITHIN_MS),
        (Name.REFUNDS_ARE_PAID_OUT, "refunds", PAID_OUT_WITHIN_MS),
    ):
        rows = await connection.fetch(
            f"SELECT id::text FROM {table} WHERE schedule_id = $1 AND status = 'requested'"  # noqa: S608  # constants
            " AND requested_at < to_timestamp($2::float8 / 1000) ORDER BY requested_at",
            schedule_id,
            now_ms - within_ms,
        )
        checks.append(none_of(name, [row[0] for row in rows]))
    held = await connection.fetch(  # a hold that was being paid for past its time ends with the payment's outcome
        "SELECT b.id::text FROM bookings b LEFT JOIN payments p ON p.id = b.payment_id"
        " WHERE b.schedule_id = $1 AND b.status = 'held' AND coalesce(p.status, '') <> 'requested'"
        " AND greatest(b.expires_at, p.settled_at) < to_timestamp($2::float8 / 1000) ORDER BY b.expires_at",
        schedule_id,
        now_ms - EXPIRED_WITHIN_MS,
    )
    return [*checks, none_of(Name.HOLDS_END_IN_TIME, [row[0] for row in held])]


async def _published(connection: Connection, schedule_id: str, head: Head, now_ms: int) -> Check:
    """Every event is published soon. What came before its first owner, a schedule waits for that one to tell of, which
    has as long for it as for anything else."""
    name, expected = Name.PUBLISHED_EQUALS_HEAD, say("up_to_version", version=head.seq)
    if head.published_seq == head.seq or head.seq == 1 or head.epoch == 0:
        return checked(name, expected, expected)
    actual = say("up_to_version", version=head.published_seq)
    if head.published_seq > head.seq:
        return checked(name, expected, actual)
    first = head.published_seq + 1
    at_ms = await connection.fetchval(FIRST_OF_AN_OWNER if first == 1 else WRITTEN, schedule_id, first)
    if at_ms is None:  # its owner has written nothing yet
        at_ms = await heads.changed_ms(connection, schedule_id)
    if now_ms - at_ms < PUBLISHED_WITHIN_MS:
        return checked(name, expected, joined(actual, say("on_its_way")), holds=True)
    late = range(first, min(head.seq, first + OFFENDERS_SHOWN) + 1)
    return checked(name, expected, actual, [say("version", version=version) for version in late])
