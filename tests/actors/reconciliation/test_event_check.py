"""Events that are not on the log, or not as the journal has them: named, and published anew."""

from __future__ import annotations

import msgspec
import pytest

from actors.reconciliation import table_checks
from engine.commands import Expire
from engine.events import TermsChanged
from persistence.journal import history, overruling
from tests.support.examined import Examined, Past, check, told


# --- publishing -------------------------------------------------------------------------------------------------------
async def test_events_never_published_are_named_after_a_minute_and_published(house: Examined, past: Past) -> None:
    house.log.available = False
    await house.paid("D-1")
    await house.shown()
    await house.retire()
    seq, published = await house.head()
    assert published == seq - 4
    assert (await house.examine()).failing == frozenset()
    house.clock.ahead_ms += table_checks.PUBLISHED_WITHIN_MS + 1_000
    report = await house.examine()
    assert report.failing == {"published_equals_head"}
    assert check(report, "published_equals_head").offenders == tuple(f"version {seq - n}" for n in (3, 2, 1, 0))
    house.log.available = True
    await house.dry_run(report)
    await house.mend(report)
    assert (await house.examine(events=True)).failing == frozenset()


@pytest.mark.parametrize("written_before", [0, 1], ids=["opened", "opened and moved"])
async def test_what_came_before_the_first_owner_is_late_a_minute_after_there_is_one(
    house: Examined, written_before: int
) -> None:
    held = await overrule(house, written_before)
    house.clock.ahead_ms += 10 * table_checks.PUBLISHED_WITHIN_MS
    assert (await house.examine()).failing == frozenset(), "nobody has asked for it"
    house.log.available = False
    await house.hold("A-1")
    await house.shown()
    seq, published = await house.head()
    assert (seq, published) == (held + 1, 0)
    report = await house.examine()
    assert report.failing == frozenset()
    assert "on its way" in check(report, "published_equals_head").actual
    house.clock.ahead_ms += table_checks.PUBLISHED_WITHIN_MS - 10_000
    assert (await house.examine()).failing == frozenset()
    house.clock.ahead_ms += 11_000
    assert check(await house.examine(), "published_equals_head").offenders[0] == "version 1"
    assert not check(await house.examine(), "published_equals_head").holds


async def test_an_owner_that_has_nothing_but_what_came_before_it_has_a_minute_too(house: Examined) -> None:
    await overrule(house, 1)
    await house.sql("UPDATE schedule_heads SET updated_at = now() - interval '1 hour'")
    await house.sql("UPDATE journal SET at_ms = at_ms - 3600000 WHERE seq = 1")
    house.log.available = False
    await house.send(Expire())
    assert await house.head() == (2, 0)
    assert check(await house.examine(), "published_equals_head").holds
    house.clock.ahead_ms += table_checks.PUBLISHED_WITHIN_MS + 1_000
    assert check(await house.examine(), "published_equals_head").offenders == ("version 1", "version 2")


async def overrule(house: Examined, times: int) -> int:
    """Writes as often past the owner, whom there is none of; gives the journal's length."""
    for each in range(times):
        async with house.engine.begin() as connection:
            held = await overruling.hold(connection, [house.schedule_id])
            state = await history.state_at(house.journal, house.schedule_id, house.plan, 1)
            terms = msgspec.structs.replace(state.on, starts_at_ms=state.on.starts_at_ms + 1_000 * (each + 1))
            await overruling.write(connection, held, house.clock.now_ms(), TermsChanged(terms))
    return 1 + times


async def test_a_watermark_set_back_under_an_owner_is_mended_before_anything_happens(
    house: Examined, past: Past
) -> None:
    seq, _ = await house.head()
    await house.sql("UPDATE schedule_heads SET published_seq = 3")
    house.clock.ahead_ms += table_checks.PUBLISHED_WITHIN_MS + 1_000
    report = await house.examine()
    assert report.failing == {"published_equals_head"}
    await house.dry_run(report)
    assert "is replaced" in told(await house.mend(report), "published_equals_head")
    assert await house.head() == (seq, seq)
    after = await house.examine(events=True)
    assert after.failing == frozenset()
    assert f"{seq - 3} repetitions" in check(after, "events_equal_journal").actual


async def test_a_watermark_beyond_the_journal_is_found_and_set_back(house: Examined, past: Past) -> None:
    seq, _ = await house.head()
    await house.sql("UPDATE schedule_heads SET published_seq = seq + 5")
    report = await house.examine()
    assert report.failing == {"published_equals_head"}
    await house.mend(report)
    assert await house.head() == (seq, seq)
    assert (await house.examine(events=True)).failing == frozenset()


async def without(house: Examined, *versions: int) -> None:
    """Takes events off the log."""
    for messages in house.log._partitions:
        messages[:] = [each for each in messages if version_in(each.value) not in versions]


def version_in(value: bytes) -> int:
    version: int = msgspec.json.decode(value)["data"]["version"]
    return version


async def test_events_that_were_never_on_the_log_are_named_and_published_anew(house: Examined, past: Past) -> None:
    seq, _ = await house.head()
    await without(house, 4, 5, seq)
    assert (await house.examine()).failing == frozenset(), "the watermark says that they are there"
    report = await house.examine(events=True)
    assert report.failing == {"events_equal_journal"}
    found = check(report, "events_equal_journal")
    assert found.offenders == tuple(f"version {version}: not there" for version in (4, 5, seq))
    assert found.actual.startswith(f"{seq - 3} of {seq} versions")
    assert "publishes from version 4 on" in told(await house.dry_run(report), "events_equal_journal")
    await house.mend(report)
    after = await house.examine(events=True)
    assert after.failing == frozenset()
    assert f"{seq - 6} repetitions" in check(after, "events_equal_journal").actual


async def test_a_log_that_came_back_empty_is_filled_again(house: Examined, past: Past) -> None:
    seq, _ = await house.head()
    await without(house, *range(1, seq + 1))
    report = await house.examine(events=True)
    assert report.failing == {"events_equal_journal"}
    assert f"the topic begins after version {seq}" in check(report, "events_equal_journal").actual
    await house.mend(report)
    assert (await house.examine(events=True)).failing == frozenset()


async def test_events_out_of_order_are_found_and_can_be_read_off_in_order_afterwards(
    house: Examined, past: Past
) -> None:
    (messages,) = [each for each in house.log._partitions if each]
    messages[3], messages[4] = messages[4], messages[3]
    report = await house.examine(events=True)
    assert check(report, "events_equal_journal").offenders == ("version 5: not after version 4",)
    await house.mend(report)
    assert (await house.examine(events=True)).failing == frozenset()


async def test_an_event_that_says_something_else_is_named_and_cannot_be_taken_back(house: Examined, past: Past) -> None:
    (messages,) = [each for each in house.log._partitions if each]
    changed = messages[1].value.replace(b"150000", b"150001")
    assert changed != messages[1].value
    messages[1] = msgspec.structs.replace(messages[1], value=changed)
    messages.append(msgspec.structs.replace(messages[0], value=b"nonsense"))
    report = await house.examine(events=True)
    assert report.failing == {"events_equal_journal"}
    found = check(report, "events_equal_journal").offenders
    assert found[0] == "version 2: says something else"
    assert found[1].startswith(f"partition {messages[0].partition}, offset 0: ")
    assert "cannot be taken back" in told(await house.mend(report), "events_equal_journal")


async def test_an_event_that_another_release_published_with_other_fields_is_the_same(
    house: Examined, past: Past
) -> None:
    (messages,) = [each for each in house.log._partitions if each]
    event = msgspec.json.decode(messages[1].value)
    event["data"]["more"] = "of a later release"
    messages[1] = msgspec.structs.replace(messages[1], value=msgspec.json.encode(event))
    assert (await house.examine(events=True)).failing == frozenset()
