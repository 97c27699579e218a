"""The life of a payment and of the refunds it may come to, as one table of moves.

`requested` → `approved` or `declined`; `approved` → `partially_refunded` → `refunded`. A payment that stays `requested`
is in doubt: nobody has told what became of it, and only an outcome known for certain moves it on. Money that comes for
a payment given up for `declined` cannot have its seats any more and goes back whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum, auto

from msgspec import Struct


class PaymentStatus(IntEnum):
    """Where a payment stands. `REQUESTED` means that the provider may or may not have taken the money."""

    REQUESTED = 0
    APPROVED = 1
    DECLINED = 2
    PARTIALLY_REFUNDED = 3  # for some of its seats the money is the customer's again
    REFUNDED = 4  # for all of them; how far each refund has come stands in the refund


PAYMENT_NAMES = tuple(status.name.lower() for status in PaymentStatus)  # as tables and events have them, by number


class Move(Enum):
    """What can happen to a payment once it has been requested."""

    APPROVE = auto()
    DECLINE = auto()
    REFUND_PART = auto()
    REFUND_WHOLE = auto()
    RETURN = auto()  # the money came although it had been given up, and goes back


# Where a status has no such move, the command that wants it is refused.
MOVES: Mapping[PaymentStatus, Mapping[Move, PaymentStatus]] = {
    PaymentStatus.REQUESTED: {Move.APPROVE: PaymentStatus.APPROVED, Move.DECLINE: PaymentStatus.DECLINED},
    PaymentStatus.APPROVED: {
        Move.REFUND_PART: PaymentStatus.PARTIALLY_REFUNDED,
        Move.REFUND_WHOLE: PaymentStatus.REFUNDED,
    },
    PaymentStatus.PARTIALLY_REFUNDED: {
        Move.REFUND_PART: PaymentStatus.PARTIALLY_REFUNDED,
        Move.REFUND_WHOLE: PaymentStatus.REFUNDED,
    },
    PaymentStatus.DECLINED: {Move.RETURN: PaymentStatus.REFUNDED},
    PaymentStatus.REFUNDED: {},
}


class Payment(Struct, frozen=True, gc=False, array_like=True):
    """One attempt to pay for a booking."""

    id: str
    amount: int  # minor units of the booking's currency
    status: PaymentStatus
    requested_ms: int
    provider: str
    settled_ms: int = 0  # 0: not settled
    reference: str = ""  # the provider's own id
    reason: str = ""  # why it was declined


class RefundStatus(IntEnum):
    """Where a refund stands. Its seats are free and its money is owed from the start."""

    REQUESTED = 0  # the provider has not confirmed it yet
    COMPLETED = 1


REFUND_NAMES = tuple(status.name.lower() for status in RefundStatus)  # as tables and events have them, by number


class Refund(Struct, frozen=True, gc=False, array_like=True):
    """Money given back for some or all of a booking's seats."""

    id: str
    payment_id: str
    amount: int  # what the customer gets, in minor units of the booking's currency
    fee: int  # what is kept
    seats: tuple[int, ...]  # plan indexes; empty where money came without seats
    status: RefundStatus
    requested_ms: int
    reason: str
    by: str  # customer | organizer | admin | system
    settled_ms: int = 0  # 0: not confirmed
    reference: str = ""  # the provider's own id
