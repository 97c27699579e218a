"""The overview: what owners and tables say, made once a second, without waking anybody; and its stream."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.owner.pulse import Pulse
from persistence.database.asked_once import AskedOnce
from persistence.operations.board import VitalsBoard
from persistence.operations.standing import read_standing, standing
from tests.api.conftest import Worker
from tests.support.sale import Sale, hold, open_sale
from tests.support.waiting import until

URL = "/v1/admin/overview"


@pytest.fixture(scope="module")
async def admin(worker: Worker) -> dict[str, str]:
    headers = await worker.sign_up("organizer")
    me = (await worker.http.get("/v1/accounts/me", headers=headers)).json()
    await worker.office.pool.execute("UPDATE accounts SET role = 'admin' WHERE id = $1", me["id"])
    return await worker.log_in(me["email"])


@pytest.fixture(scope="module")
async def sale(worker: Worker) -> Sale:
    return await open_sale(worker.http)


async def overview(worker: Worker, admin: dict[str, str]) -> dict[str, Any]:
    """One made just now, not one of this second."""
    await beat(worker)
    worker.app.state.overviews._made = AskedOnce(1)
    await worker.office.redis.delete(f"{worker.office.board._key}:turn")
    answer = await worker.http.get(URL, headers=admin)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def beat(worker: Worker) -> None:
    """The process of owners says how it does, as the real one does every second."""
    owners = worker.office.gateway._owners.owner
    schedules = [] if owners is None else owners.host.schedules
    await worker.office.board.say(Pulse("owners-0").beat(schedules, worker.office.clock.now_ms()))


async def test_it_tells_of_the_schedules_whose_owners_are_awake_and_wakes_none(
    worker: Worker, admin: dict[str, str], sale: Sale
) -> None:
    await worker.http.get(URL, headers=admin)
    quiet = await overview(worker, admin)
    assert quiet["vitals"] is True
    assert not worker.has_owner(sale.schedule_id)
    await hold(worker.http, sale, await worker.sign_up(), *sale.fresh(2))
    busy = await overview(worker, admin)
    (owner,) = [each for each in busy["owners"] if each["schedule_id"] == sale.schedule_id]
    title = (await worker.http.get(f"/v1/performances/{sale.performance_id}")).json()["title"]
    assert (owner["title"], owner["process"], owner["held"], owner["sold"]) == (title, "owners-0", 2, 0)
    assert busy["held"] >= 2
    assert busy["standing"]["failing"] == 0

    async def all_are_answered() -> bool:
        return bool((await overview(worker, admin))["workers"][0]["unanswered"] == 0)

    await until(all_are_answered)


async def test_heads_name_their_schedules_and_how_their_owners_do(
    worker: Worker, admin: dict[str, str], sale: Sale
) -> None:
    await hold(worker.http, sale, await worker.sign_up(), *sale.fresh(1))
    asleep = await open_sale(worker.http)
    await beat(worker)
    page = (await worker.http.get("/v1/admin/actors", params={"limit": 200}, headers=admin)).json()["items"]
    by_id = {each["schedule_id"]: each for each in page}
    assert by_id[sale.schedule_id]["queue"] == 0
    assert by_id[sale.schedule_id]["commit_ms"] > 0
    assert by_id[asleep.schedule_id]["queue"] is None
    assert by_id[asleep.schedule_id]["title"]
    assert by_id[asleep.schedule_id]["unpublished"] == 0, "its first owner will tell of it"


async def test_money_mails_and_parked_events_that_wait_are_counted(worker: Worker, admin: dict[str, str]) -> None:
    before = read_standing(await standing(worker.office.database))
    for currency in ("KRW", "KRW", "USD"):
        await worker.office.pool.execute(
            "INSERT INTO payments (id, booking_id, schedule_id, customer_id, status, amount, currency, provider,"
            " requested_at) VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),"
            " 'requested', 500, $1, 'sandbox', '2026-01-01Z')",
            currency,
        )
    await worker.office.pool.execute(
        "INSERT INTO parked_events (consumer, schedule_id, version, value, error)"
        " VALUES ('sales', gen_random_uuid(), 7, '{}', 'KeyError')"
    )
    view = (await overview(worker, admin))["standing"]
    assert view["payments"]["count"] == before.payments.count + 3
    assert view["payments"]["amounts"] == {"KRW": 1000, "USD": 500}
    assert view["payments"]["oldest_at"] == "2026-01-01T00:00:00.000+00:00"
    assert view["parked_events"] == before.parked_events + 1
    await worker.office.pool.execute("DELETE FROM payments")
    await worker.as_superuser("DELETE FROM parked_events")


async def test_mails_that_are_put_off_on_purpose_are_counted_and_alarm_nobody(
    worker: Worker, admin: dict[str, str]
) -> None:
    async def put(due: str) -> None:
        await worker.as_superuser(
            "INSERT INTO notifications (id, version, customer_id, kind, facts, status, created_at, due_at) VALUES"
            f" (gen_random_uuid(), 7, gen_random_uuid(), 'confirmed', '{{}}', 'pending', '2026-01-01Z', {due})"
        )

    await worker.as_superuser("DELETE FROM notifications")
    await put("now() + interval '1 hour'")
    assert (await overview(worker, admin))["standing"]["mails"] == {"count": 1, "oldest_at": None, "amounts": {}}
    await put("now() - interval '2 minutes'")
    mails = (await overview(worker, admin))["standing"]["mails"]
    assert (mails["count"], mails["oldest_at"]) == (2, "2026-01-01T00:00:00.000+00:00")
    await worker.as_superuser("DELETE FROM notifications")


async def test_however_many_look_the_tables_are_asked_once(
    worker: Worker, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    empty = msgspec.json.encode(read_standing(await standing(worker.office.database)))

    async def counted(_: object) -> bytes:
        nonlocal asked
        asked += 1
        return empty

    monkeypatch.setattr("api.views.overview.standing", counted)
    await overview(worker, admin)
    asked = 0
    for _ in range(20):
        await worker.http.get(URL, headers=admin)
    assert asked <= 2, "one a second"


async def test_without_the_database_it_says_what_processes_say(
    worker: Worker, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> bytes:
        raise ConnectionRefusedError

    monkeypatch.setattr("api.views.overview.standing", away)
    view = await overview(worker, admin)
    assert view["standing"] is None
    assert view["vitals"] is True


async def test_without_redis_it_says_what_the_tables_say(
    worker: Worker, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = VitalsBoard.at("redis://127.0.0.1:1", "nowhere")
    monkeypatch.setattr(worker.app.state.overviews, "_board", deaf)
    view = await overview(worker, admin)
    assert view["vitals"] is False
    assert view["standing"] is not None
    await deaf.close()


async def test_its_stream_ends_when_the_token_does(
    worker: Worker, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.views.overview.STREAM_SECONDS", 0.01)
    found = worker.app.state.overviews
    looks = iter([True, True, False])

    async def may_go_on() -> bool:
        return next(looks)

    events = [each async for each in found.stream(may_go_on)]
    assert events[0] == b"retry: 2000\n\n"
    assert len(events) == 3
    assert events[1].startswith(b"event: overview\ndata: {")
    assert found.watched == 0


async def test_whoever_is_logged_out_sees_no_more_of_it(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, admin: dict[str, str]
) -> None:
    monkeypatch.setattr("api.views.overview.STREAM_SECONDS", 0.01)
    me = (await worker.http.get("/v1/accounts/me", headers=admin)).json()
    headers = await worker.log_in(me["email"])
    assert (await worker.http.delete("/v1/sessions/current", headers=headers)).status_code == 204
    assert (await worker.http.get(f"{URL}/stream", headers=headers)).status_code == 401
