"""Booking numbers: what people read out and type, eight characters such as `7K3M-Q2XD`.

A number is the last 35 bits of the booking's id in Crockford's base 32 (neither I, L, O nor U) and a check character,
so it needs no column, and whoever knows the id knows the number: mails, tickets, a journal that is read back. Ids made
here never share those bits. Bookings made before there were numbers have one too, alike by chance only.

The check character tells every single wrong character and every two that changed places.
"""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.database.tables import booking_blocks, bookings

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MISREAD = str.maketrans("OIL", "011", "- ")
BITS, BLOCK_BITS = 35, 14
MASK = (1 << BITS) - 1
HEX_DIGITS = 9  # 36 bits: the one above the number is nobody's
# Odd, so that no two numbers become one; and about the golden ratio, so that neighbours look nothing alike.
SPREAD = 0x4F1BBCDCB
TAIL = sa.func.right(sa.cast(bookings.c.id, sa.Text), HEX_DIGITS)


def number_of(booking_id: str) -> str:
    """The booking's number."""
    value = int(booking_id[-HEX_DIGITS:], 16) & MASK
    first, high, middle, low = value >> 30, value >> 20 & 1023, value >> 10 & 1023, value & 1023
    check = _CHECKS[0][first] ^ _CHECKS[1][high] ^ _CHECKS[2][middle] ^ _CHECKS[3][low]
    return f"{ALPHABET[first]}{_PAIRS[high]}{_PAIRS[middle][0]}-{_PAIRS[middle][1]}{_PAIRS[low]}{ALPHABET[check]}"


def tails_of(number: str) -> tuple[str, str] | None:
    """How the id of a booking with this number may end; None where it is no number, or was misread."""
    text = number.upper().translate(MISREAD)
    if len(text) != 8 or not set(text) <= set(ALPHABET):
        return None
    value = 0
    for character in text[:7]:
        value = value << 5 | ALPHABET.index(character)
    tails = f"{value:09x}", f"{value | 1 << BITS:09x}"
    return tails if number_of(tails[0])[-1] == text[-1] else None


class BookingIds:
    """Makes the ids of bookings: UUIDv7, the last bits from a block of numbers that no other process has.

    A block is taken when the first booking is made, and when one is used up: one question in 16,384 bookings.
    """

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._next = self._end = 0
        self._taking = asyncio.Lock()

    async def new(self, uuid: str) -> str:
        """A booking's id, made of a fresh UUIDv7."""
        if self._next == self._end:
            async with self._taking:
                if self._next == self._end:
                    await self._take_block()
        number, self._next = self._next, self._next + 1
        return f"{uuid[:-HEX_DIGITS]}{number * SPREAD & MASK:09x}"

    async def _take_block(self) -> None:
        async with self._database.connect() as connection:
            block: int = (await connection.execute(sa.select(booking_blocks.next_value()))).scalar_one()
        self._next = (block << BLOCK_BITS) & MASK
        self._end = self._next + (1 << BLOCK_BITS)


def _times(a: int, b: int) -> int:
    """In the field of 32 elements, by x⁵ + x² + 1."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a <<= 1
        a ^= 0b100101 if a & 32 else 0
        b >>= 1
    return product


def _weights() -> list[int]:
    """One for each of the seven characters, all different and none that of the check character, which is 1."""
    weights = [2]
    while len(weights) < 7:
        weights.append(_times(weights[-1], 2))
    return weights


_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_W = _weights()
_CHECKS = [
    [_times(value, _W[0]) for value in range(32)],
    *([_times(pair >> 5, _W[place]) ^ _times(pair & 31, _W[place + 1]) for pair in range(1024)] for place in (1, 3, 5)),
]
