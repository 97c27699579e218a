"""A waiting room over HTTP: a place, a pass, and seats for whoever has one."""

from __future__ import annotations

from tests.api.conftest import Worker
from tests.support.sale import open_sale, problem


async def test_out_of_a_rush_one_is_admitted_by_joining(worker: Worker) -> None:
    sale = await open_sale(worker.http, waiting_room=True)
    customer = await worker.sign_up()
    refused = await worker.http.post(sale.bookings_url, json={"quantity": 2}, headers=customer)
    url = problem(refused, 403, "queue_pass_required")["queue_url"]
    joined = await worker.http.post(url, headers=customer)
    assert joined.status_code == 201, joined.text
    place = joined.json()
    print(place)
    assert place["status"] == "admitted"
    looked = await worker.http.get(joined.headers["Location"], headers=customer)
    assert looked.json() == place
    with_pass = customer | {"Queue-Pass": place["pass"]}
    held = await worker.http.post(sale.bookings_url, json={"quantity": 2}, headers=with_pass)
    assert held.status_code == 201, held.text
    async with worker.http.stream("GET", joined.headers["Location"] + "/stream", headers=customer) as stream:
        print([line async for line in stream.aiter_lines()])
    assert (await worker.http.delete(joined.headers["Location"], headers=customer)).status_code == 204
    problem(await worker.http.get(joined.headers["Location"], headers=customer), 410, "queue_turn_over")
