"""A schedule's seats written out: as lists of seats for programs, and packed for pages that have the layout.

A packed state is two bits a seat in the layout's order, a fortieth of the list. Both forms say the same.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec
from msgspec import Struct

from engine.seating_plan import SeatingPlan
from engine.state import BLOCKED, FREE, HELD, SOLD
from persistence.seats.cache import AreaCounts, SeatDelta, SeatView

STATE_NAMES = {FREE: "free", HELD: "held", SOLD: "sold", BLOCKED: "blocked"}


class Terms(Struct, frozen=True):
    """What whoever chooses seats has to know besides the prices."""

    max_seats_per_customer: int | None = None
    hold_seconds: int = 0
    starts_at: str | None = None
    sale_opens_at: str | None = None
    sale_closes_at: str | None = None
    waiting_room: bool = False
    cancelled: bool = False


class Offer(Struct, frozen=True):
    """What a schedule sells, for how much and on what terms."""

    plan: SeatingPlan
    currency: str
    prices: Mapping[str, int | None]  # null: not for sale
    terms: Terms
    tag: str  # of all that an answer depends on besides the version

    @classmethod
    def of(
        cls,
        plan: SeatingPlan,
        currency: str,
        prices: Mapping[str, int | None],
        terms: Terms = Terms(),  # noqa: B008  # frozen, so one will do for all
    ) -> Offer:
        """The offer, with a tag that changes with anything its answers depend on."""
        content = msgspec.msgpack.encode((plan.digest, currency, sorted(prices.items()), terms))
        return cls(plan, currency, prices, terms, blake2b(content, digest_size=6).hexdigest())


class Sheet:
    """An offer with everything written out but the states: a version of it is one join."""

    def __init__(self, offer: Offer) -> None:
        plan = offer.plan
        self.head = msgspec.json.encode({"currency": offer.currency})[1:-1]
        self.rows: list[bytes] = []  # a seat as /seats shows it, up to its state
        self.marks: list[bytes] = []  # a seat as the stream shows it, up to its state
        for index in range(plan.size):
            place = plan.describe(index)
            seat = {
                "id": place.id,
                "zone": place.zone,
                "row": place.row,
                "number": place.number,
                "category": place.category,
                "price": offer.prices.get(place.category),
            }
            self.rows.append(msgspec.json.encode(seat)[:-1] + b',"state":"')
            self.marks.append(b'{"id":' + msgspec.json.encode(place.id) + b',"state":"')
        self.areas: list[dict[str, object]] = [
            {
                "id": area.id,
                "name": area.name,
                "zone": plan.zones[area.zone],
                "category": plan.categories[area.category],
                "price": offer.prices.get(plan.categories[area.category]),
                "capacity": area.capacity,
            }
            for area in plan.areas
        ]

    def page(self, view: SeatView) -> bytes:
        """The whole house, as /seats answers it."""
        areas = [area | _counts(counts) for area, counts in zip(self.areas, view.areas, strict=True)]
        start = b'{"schedule_id":"%s","version":%d,%s,' % (view.schedule_id.encode(), view.version, self.head)
        return start + _places(_joined(self.rows, view.states), areas)

    def snapshot(self, view: SeatView) -> bytes:
        """Every state, as the stream begins."""
        areas = [{"id": area["id"]} | _counts(counts) for area, counts in zip(self.areas, view.areas, strict=True)]
        return b'{"version":%d,' % view.version + _places(_joined(self.marks, view.states), areas)

    def delta(self, delta: SeatDelta) -> bytes:
        """What changed, as the stream goes on."""
        marks = [self.marks[index] for index, _ in delta.seats]
        areas = [{"id": self.areas[position]["id"]} | _counts(counts) for position, counts in delta.areas]
        return b'{"version":%d,' % delta.version + _places(_joined(marks, (state for _, state in delta.seats)), areas)


TAILS = tuple(f'{STATE_NAMES[state]}"}},'.encode() for state in range(len(STATE_NAMES)))


def _joined(beginnings: list[bytes], states: Iterable[int]) -> bytes:
    parts = [b""] * (2 * len(beginnings))
    parts[0::2] = beginnings
    parts[1::2] = map(TAILS.__getitem__, states)
    return b"".join(parts)[:-1]


def _places(seats: bytes, areas: list[dict[str, object]]) -> bytes:
    return b'"seats":[%s],"areas":%s}' % (seats, msgspec.json.encode(areas))


def _counts(counts: AreaCounts) -> dict[str, object]:
    return {"left": counts.left, "held": counts.held, "sold": counts.sold, "blocked": counts.blocked}


# --- packed: for who has the layout -----------------------------------------------------------------------------------
def packed_states(offer: Offer, layout_digest: str, view: SeatView) -> bytes:
    """How every place stands, with what is asked for it, as /states answers it."""
    head = {
        "schedule_id": view.schedule_id,
        "layout": layout_digest,
        **_terms(offer),
    }
    return msgspec.json.encode(head | _packed(view))


def terms_changed(offer: Offer, layout_digest: str) -> bytes:
    """On what terms a house is sold from now on, and by which layout, as a stream tells it."""
    return msgspec.json.encode({"layout": layout_digest, **_terms(offer)})


def _terms(offer: Offer) -> dict[str, object]:
    prices = {name: offer.prices.get(name) for name in offer.plan.categories}
    return {
        "terms": offer.tag,
        "currency": offer.currency,
        "prices": prices,
        **msgspec.structs.asdict(offer.terms),
    }


class Packed:
    """The packed form of what a stream tells; the same for every offer."""

    def snapshot(self, view: SeatView) -> bytes:
        """Every state, as the stream begins, or goes on where changes are no longer known."""
        return msgspec.json.encode(_packed(view))

    def delta(self, delta: SeatDelta) -> bytes:
        """What changed after the version `from`: `[index, state]` of seats, `[index, counts]` of areas."""
        changed = {"from": delta.from_version, "version": delta.version, "seats": delta.seats, "areas": delta.areas}
        return msgspec.json.encode(changed)


PACKED = Packed()


def _packed(view: SeatView) -> dict[str, object]:
    return {"version": view.version, "seats": b64encode(two_bits(view.states)).decode(), "areas": view.areas}


def two_bits(states: bytes) -> bytes:
    """Four seats a byte, the first in its lowest bits; places after the last are 0."""
    length = -(-len(states) // 4)
    packed = 0
    for place in range(4):
        # One number of all first seats, one of all second seats…: no state has more than two bits, so none runs over.
        packed |= int.from_bytes(states[place::4].ljust(length, b"\0"), "little") << 2 * place
    return packed.to_bytes(length, "little")
