"""Booking numbers: never the same twice, and a number that was misread is told from one that was read."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.process.clock import SystemClock
from persistence.bookings.numbers import ALPHABET, BLOCK_BITS, BookingIds, number_of, tails_of
from persistence.database.connection import create_engine

IDS = st.uuids(version=4).map(str)
new_id = SystemClock().new_id


@given(IDS)
def test_a_booking_is_found_by_its_number_however_it_is_typed(booking_id: str) -> None:
    number = number_of(booking_id)
    assert len(number) == 9
    spoken = number.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    for typed in (number, number.replace("-", ""), spoken, f" {number} "):
        tails = tails_of(typed)
        assert tails is not None
        assert booking_id[-9:] in tails
        assert {number_of(booking_id[:-9] + tail) for tail in tails} == {number}


@given(IDS, st.integers(0, 7), st.sampled_from(ALPHABET))
def test_a_wrong_character_is_noticed(booking_id: str, place: int, other: str) -> None:
    number = number_of(booking_id).replace("-", "")
    wrong = number[:place] + other + number[place + 1 :]
    assert (tails_of(wrong) is None) == (wrong != number)


@given(IDS, st.integers(0, 7), st.integers(0, 7))
def test_two_characters_that_changed_places_are_noticed(booking_id: str, one: int, other: int) -> None:
    letters = list(number_of(booking_id).replace("-", ""))
    letters[one], letters[other] = letters[other], letters[one]
    wrong = "".join(letters)
    assert (tails_of(wrong) is None) == (wrong != number_of(booking_id).replace("-", ""))


@pytest.mark.parametrize("text", ["", "7K3M", "7K3M-Q2XD7", "7K3M-Q2X!", "가나다라마바사아", "U" * 8, "'; --aaaa"])
def test_what_is_no_number_finds_nothing(text: str) -> None:
    assert tails_of(text) is None


async def test_no_two_bookings_share_a_number_whoever_makes_them(database_url: str) -> None:
    engine = create_engine(database_url)
    makers = [BookingIds(engine) for _ in range(3)]
    ids = [await maker.new(new_id()) for maker in makers for _ in range((1 << BLOCK_BITS) + 50)]
    await engine.dispose()
    assert len({number_of(each) for each in ids}) == len(ids)
    assert {UUID(each).version for each in ids} == {7}
