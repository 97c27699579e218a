"""What reconciliation and repair say: sentences in English that know what they are made of, so that a page can say them
in its reader's language (`api/web/src/words/admin/reconciliation/ko.ts`).

A sentence is a text like any other, and is compared, logged and printed as one. Beside it go its parts: the code of
each and the facts in it. What only names something (an id, a number) has none.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

# By the code of a part. Stable: pages have words for each. A fact stands in braces.
SENTENCES: Mapping[str, str] = {
    # --- what was found
    "none": "none",
    "version": "version {version}",
    "versions": "versions 1 to {version}",
    "versions_in_order": "versions 1 to {version}, in order",
    "up_to_version": "up to version {version}",
    "at_most_version": "at most version {version}",
    "at_least_version": "at least version {version}",
    "on_its_way": "the rest is on its way",
    "state_of_version": "the state of version {version}",
    "state_at_version": "version {version}, state {state}",
    "another_state": "another state",
    "another_state_because": "another state: {error}",
    "unreadable": "cannot be read: {error}",
    "unreadable_now": "cannot be read now: {error}",
    "snapshot": "snapshot {version}",
    "owner": "the owner of epoch {epoch}, pid {pid}",
    "an_answer": "an answer",
    "owner_silent": "the owner is silent",
    "plan_seats": "plan {plan}, {seats} seats",
    "places_differ": "{count} places differ",
    "version_missing": "version {version}: missing",
    "version_beyond_head": "version {version}: beyond the head",
    "version_unreadable": "version {version}: cannot be read ({error})",
    "version_entered_otherwise": "version {version}: is entered as {type} of booking {booking}, and says something"
    " else",
    "version_unfit": "version {version}: cannot follow on what was before ({error})",
    "not_comparable": "nothing can be compared with it",
    "rows": "rows: {count}",
    "wrong_rows": "wrong: {count}",
    "row_missing": "{id}: missing",
    "row_strange": "{id}: not in the journal",
    "row_otherwise": "{id}: another {columns}",
    "terms": "the journal's terms",
    "terms_differ": "{count} of them differ",
    "term_otherwise": "{name}: {actual}, {due} in the journal",
    "seats_taken": "{sold} sold, {held} held",
    "money_due": "{value} in live bookings",
    "money_found": "{left} = {taken} taken - {refunded} refunded - {fees} kept as fees",
    "money_of_booking": "{booking}: {taken} taken - {refunded} refunded - {fees} fees, its seats cost {value}",
    "event_missing": "version {version}: not there",
    "event_out_of_order": "version {version}: not after version {before}",
    "event_otherwise": "version {version}: says something else",
    "event_unreadable": "partition {partition}, offset {offset}: {error}",
    "events_there": "{there} of {all} versions",
    "events_repeated": "{count} repetitions",
    "events_differ": "{count} differ",
    "topic_begins_after": "the topic begins after version {version}: its broker has lost or dropped what was before",
    "books": "the books of {provider}",
    "differences": "differences: {count}",
    "of_schedule": "schedule {schedule}",
    "taken_there": "{payment} of booking {booking}: taken there, {status} here",
    "amount_differs": "{payment}: {theirs} there, {ours} here",
    "given_back_differs": "{payment}: {theirs} given back there, {ours} here",
    "status_differs": "{payment}: {status} here, {theirs} there",
    "and_what_follows": "and what follows from it",
    "consumer_at": "{consumer} up to version {version}",
    "behind": "{count} behind",
    "wrong": "{count} wrong",
    "consumer_ahead": "{consumer}: has taken version {version}, which the journal does not have",
    "consumer_parked": "{consumer}: {count} events are parked, the first of version {version}",
    "consumer_idle": "{consumer}: {count} events behind, and takes none",
    "figures_missing": "{consumer}: {category} at {minute}: missing",
    "figures_strange": "{consumer}: {category} at {minute}: not in the journal",
    "figure_otherwise": "{consumer}: {category} at {minute}: {name} {actual}, {due} in the journal",
    "live_missing": "{consumer}: booking {booking}: missing",
    "live_strange": "{consumer}: booking {booking}: not live in the journal",
    "live_otherwise": "{consumer}: booking {booking}: other places, or sold where it is not",
    "a_report": "a report",
    "no_schedule_row": "its row in the table schedules is missing",
    "no_findings": "no findings",
    "audit_findings": "{count} findings in {entries} entries, {heads} exported heads",
    "audit_finding": "{kind}: {where}",
    # --- what is done about it, or would be
    "journal_never_changed": "nothing: the journal is never changed, a person must look into it",
    "follows_from_rows": "nothing by itself: it follows from rows that are not as the journal says",
    "journal_damaged": "nothing: as long as the journal is damaged, nothing is made to follow from it",
    "both_contradict": "nothing: tables and memory both contradict the journal, which may itself have been changed",
    "person_compares": "a person must compare them",
    "topic_unreadable": "what was published cannot be read: {error}",
    "published_otherwise": "at version {versions} it says something else than was published",
    "not_all_published": "not all of it is found published",
    "books_after_rows": "looked at again once the rows are as the journal says",
    "nothing_left": "nothing is left to do",
    "put_off": "put off: {error}",
    "still_going_on": "which is still going on",
    "owner_replaced": "its owner is replaced by one that reads the journal",
    "seat_map_dropped": "readers' seat map is dropped, and a new owner shows it anew",
    "owner_woken": "its owner is woken to end them",
    "figures_made_again": "its sales figures are made again from the journal",
    "snapshots_dropped": "its snapshots are dropped, and its next owner replays the journal from the start",
    "published_on": "its owner is woken and publishes from the watermark on",
    "published_by_another": "its owner, which takes more for published, is replaced by one that publishes from the"
    " watermark on",
    "published_from": "the watermark is set back, and a new owner publishes from version {version} on",
    "no_event_log": "nothing: no event log is set up here",
    "log_stays": "nothing: what is on the log cannot be taken back, a person must tell its readers",
    "row_removed": "{table} {id} is removed",
    "row_written": "{table} {id} is written as the journal says",
    "further_rows": "and so are {count} more of {table}",
    "terms_written": "its terms are written as the journal says",
    "payment_without_provider": "payment {payment}: its provider is not set up here",
    "payment_not_told": "payment {payment}: {provider} does not tell what became of it",
    "payment_settled": "payment {payment} is settled: {outcome} at {provider}",
    "refund_without_provider": "refund {refund}: {provider} is not set up here, or its payment is missing",
    "refund_asked": "refund {refund} is asked of {provider}",
    "refund_answered": "refund {refund} is asked of {provider}: {outcome}",
    "others_by_hand": "nothing for {count} others: what {provider} did by itself, a person must put right",
    "payment_of_nobody": "payment {payment} belongs to no booking here: give it back at {provider}",
    "payment_approved": "payment {payment} is approved",
    "payment_given_back": "payment {payment} is given back",
    "payment_not_given_back": "payment {payment} is not given back: {code}",
}


class Part(Struct, frozen=True):
    """What a sentence, or a part of one, is made of."""

    code: str
    facts: dict[str, str]


class Told(str):
    """A sentence, and its parts. An empty one says nothing."""

    __slots__ = ("parts",)
    parts: tuple[Part, ...]


def say(code: str, /, **facts: object) -> Told:
    """The sentence of a code with these facts in it."""
    known = {name: str(fact) for name, fact in facts.items()}
    return _told(SENTENCES[code].format(**known), (Part(code, known),))


def named(text: object) -> Told:
    """What is the same in every language: an id, a number, an error's own words."""
    return _told(str(text), ())


def joined(*sentences: Told, by: str = ", ") -> Told:
    """One sentence after another."""
    return _told(by.join(sentences), tuple(part for each in sentences for part in each.parts))


def _told(text: str, parts: tuple[Part, ...]) -> Told:
    made = Told(text)
    made.parts = parts
    return made


NOTHING = named("")
