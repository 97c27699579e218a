"""Tickets and passes say what they were signed with, to whom they were given; lots are drawn fairly."""

from __future__ import annotations

from uuid import uuid4

from api.office.queue_tickets import QueueTickets


def test_what_a_former_secret_has_signed_still_counts_and_draws_nobody_anew() -> None:
    schedule, account = str(uuid4()), str(uuid4())
    before, now = QueueTickets(["the former one"]), QueueTickets(["the new one", "the former one"])
    place = now.place_of(before.ticket(schedule, account, 0.25), account)
    assert place is not None
    assert (place.schedule_id, place.score) == (schedule, 0.25)
    assert now.pass_ends_ms(before.queue_pass(schedule, account, 17), schedule, account) == 17
    assert now.lot(schedule, account) == before.lot(schedule, account)
    assert before.place_of(now.ticket(schedule, account, 0.25), account) is None


def test_lots_are_spread_evenly_and_have_nothing_to_do_with_one_another() -> None:
    tickets, schedules = QueueTickets(["a secret"]), [str(uuid4()), str(uuid4())]
    accounts = [str(uuid4()) for _ in range(4_000)]
    first, second = ([tickets.lot(schedule, account) for account in accounts] for schedule in schedules)
    for lots in (first, second):
        assert all(0 <= lot < 1 for lot in lots)
        for tenth in range(10):
            assert 280 < sum(tenth <= lot * 10 < tenth + 1 for lot in lots) < 520
    both = sum(one < 0.5 and other < 0.5 for one, other in zip(first, second, strict=True))
    assert 850 < both < 1_150
