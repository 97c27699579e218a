"""`python -m loadtest.bench pages`: how long pages take on a phone with a slow line, and what they cost a sale.

A system of its own with the demo season and Chromium. Times of pages are what a visitor waits: from the address to the
first performance, and to the first picture of 15,000 places, on a line of 1.6 Mbit/s with 150 ms to answer, and a
quarter of this machine's speed. Frames and deltas are the main thread's own work, without the waiting that others on
this machine cause. What serving costs is the workers' processor time: of a file and of a shell, beside a 304; and holds
a second while two hundred pages follow the schedule, beside none, by turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from msgspec import Struct
from playwright.async_api import Browser, CDPSession, Page, async_playwright
from rich.console import Console
from rich.table import Table

from loadtest.http_client import Client, ConnectionLost
from loadtest.sale import newcomer
from loadtest.stack import Stack, own_stack
from persistence.embedded.instance import read_note
from tests.web import browser as own_browser

PHONE = {"width": 390, "height": 780}
SLOW_4G = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 200_000,
    "uploadThroughput": 94_000,
}  # bytes a second
SLOWER_PROCESSOR = 4
ARENA = "한강 아레나"
PANS, DELTAS = 60, 60
REQUESTS = 1_500
WATCHERS, BUYERS = 200, 16
CARD = "() => document.querySelector('main a[href^=\"/p/\"]') !== null"
# A line across the middle of the map has something on it.
MAP = """() => [...document.querySelectorAll('canvas')].some((map) => {
  if (!map.width || !map.height) return false;
  const line = map.getContext('2d').getImageData(0, map.height >> 1, map.width, 1);
  return new Uint32Array(line.data.buffer).some((pixel) => pixel !== 0);
})"""


class Line(Struct, frozen=True):
    """One figure and its budget."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )


# --- a visitor --------------------------------------------------------------------------------------------------------
@contextlib.asynccontextmanager
async def _chromium() -> AsyncIterator[Browser]:
    found = own_browser.find()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(found.path), args=list(own_browser.ARGUMENTS), env={**os.environ, **found.environment}
        )
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def _visitor(browser: Browser, url: str, *, slow: bool) -> AsyncIterator[tuple[Page, CDPSession]]:
    """Somebody who comes for the first time, with nothing kept."""
    context = await browser.new_context(base_url=url, locale="ko-KR", viewport=PHONE, is_mobile=True, has_touch=True)  # type: ignore[arg-type]  # two whole numbers
    page = await context.new_page()
    tools = await context.new_cdp_session(page)
    await tools.send("Performance.enable")
    if slow:
        await tools.send("Network.enable")
        await tools.send("Network.emulateNetworkConditions", SLOW_4G)
        await tools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER_PROCESSOR})
    try:
        yield page, tools
    finally:
        await context.close()


async def _waited(browser: Browser, url: str, path: str, there: str) -> float:
    """The seconds from the address to what somebody has come for."""
    async with _visitor(browser, url, slow=True) as (page, _):
        begun = time.monotonic()
        await page.goto(path, wait_until="commit")
        await page.wait_for_function(there, polling="raf", timeout=60_000)
        return time.monotonic() - begun


async def _worked(tools: CDPSession) -> float:
    """How long the page's main thread has worked so far, in milliseconds."""
    metrics = (await tools.send("Performance.getMetrics"))["metrics"]
    return 1000 * float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


async def _work_each(tools: CDPSession, count: int, do: Callable[[int], Awaitable[object]]) -> float:
    """The main thread's work, in milliseconds, for each of so many; without what it does meanwhile anyway."""
    begun = time.monotonic()
    before = await _worked(tools)
    for number in range(count):
        await do(number)
    took, work = time.monotonic() - begun, await _worked(tools) - before
    idle = await _worked(tools)
    await asyncio.sleep(took)
    return max(0.0, work - (await _worked(tools) - idle)) / count


async def _map_lines(browser: Browser, stack: Stack, schedule_id: str) -> list[Line]:
    customer = await newcomer(stack.url, "customer")
    async with _visitor(browser, stack.url, slow=False) as (page, tools):
        await page.goto(f"/s/{schedule_id}")
        await page.wait_for_function(MAP, timeout=60_000)
        box = await page.locator("canvas").first.bounding_box()
        assert box is not None, "the map is drawn"
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        await page.mouse.move(x, y)
        await page.mouse.wheel(0, -400)
        await page.mouse.down()

        async def pan(number: int) -> None:
            await page.mouse.move(x + 3 * (number % 20), y + 2 * (number % 15))
            await page.evaluate("() => new Promise(requestAnimationFrame)")

        frame = await _work_each(tools, PANS, pan)
        await page.mouse.up()

        async def delta(number: int) -> None:
            path = f"/v1/schedules/{schedule_id}/bookings"
            booking = await customer.request("POST", path, {"quantity": 1})
            await customer.request("DELETE", f"/v1/bookings/{booking.json()['id']}")
            await page.evaluate("() => new Promise(requestAnimationFrame)")

        # A hold and what gives it back: two deltas, unless they came together.
        told = await _work_each(tools, DELTAS, delta)
    customer.close()
    return [
        Line("a frame while panning 15,000 places, work", frame, "ms", at_most=16),
        Line("a delta, work", told / 2, "ms", at_most=4),
    ]


# --- what it costs ----------------------------------------------------------------------------------------------------
async def _cost(stack: Stack, path: str, headers: dict[str, str]) -> float:
    """The workers' processor time for a request, in microseconds."""
    client = Client(stack.url)
    workers = _workers(stack)
    for _ in range(REQUESTS // 10):
        await client.request("GET", path, headers=headers)
    before = sum(sum(each.cpu_times()[:2]) for each in workers)
    for _ in range(REQUESTS):
        await client.request("GET", path, headers=headers)
    spent = sum(sum(each.cpu_times()[:2]) for each in workers) - before
    client.close()
    return 1e6 * spent / REQUESTS


def _workers(stack: Stack) -> list[psutil.Process]:
    assert stack.data_dir is not None
    note = read_note(stack.data_dir)
    assert note is not None, "it runs"
    return [psutil.Process(pid) for name, pid in note.processes.items() if name.startswith("worker-")]


async def _serving_lines(stack: Stack, schedule_id: str, rounds: int) -> list[Line]:
    async with httpx.AsyncClient(base_url=stack.url, headers={"Accept-Encoding": "br"}) as http:
        shell = (await http.get("/")).text
        seats = await http.get(f"/v1/schedules/{schedule_id}/states")
    asset = shell.split('src="')[1].split('"')[0]
    known = {"If-None-Match": seats.headers["etag"]}
    coded = {"Accept-Encoding": "br"}
    costs: dict[str, list[float]] = {"asset": [], "shell": [], "304": []}
    for _ in range(rounds):
        costs["304"].append(await _cost(stack, f"/v1/schedules/{schedule_id}/states", known))
        costs["asset"].append(await _cost(stack, asset, coded))
        costs["shell"].append(await _cost(stack, "/", coded))
    ours = statistics.median(costs["304"])
    return [
        Line(f"{name}, of a 304 that takes {ours:.0f} µs", statistics.median(costs[name]) / ours, "", at_most=1.2)
        for name in ("asset", "shell")
    ]


class _Page(asyncio.Protocol):
    """What a page's stream costs whoever sends it: this end does nothing with what comes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result(data.startswith(b"HTTP/1.1 200"))

    def close(self) -> None:
        self._transport.close()


@contextlib.asynccontextmanager
async def _watched(stack: Stack, schedule_id: str, count: int) -> AsyncIterator[None]:
    """So many pages that follow the schedule, until the block ends."""
    address = urlsplit(stack.url)
    request = f"GET /v1/schedules/{schedule_id}/stream HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    host, port = address.hostname or "127.0.0.1", address.port or 80
    made = [await loop.create_connection(lambda: _Page(request), host, port) for _ in range(count)]
    try:
        assert all(await asyncio.gather(*(page.opened for _, page in made))), "a page is not given its stream"
        yield
    finally:
        for _, page in made:
            page.close()


async def _hold_rate(customers: list[Client], schedule_id: str, seconds: float) -> float:
    """Holds a second by customers who give each back at once."""
    held = 0
    until = time.monotonic() + seconds

    async def buy(client: Client) -> None:
        nonlocal held
        while time.monotonic() < until:
            with contextlib.suppress(ConnectionLost):
                booking = await client.request("POST", f"/v1/schedules/{schedule_id}/bookings", {"quantity": 1})
                if booking.status == httpx.codes.CREATED:
                    held += 1
                    await client.request("DELETE", f"/v1/bookings/{booking.json()['id']}")

    await asyncio.gather(*map(buy, customers))
    return held / seconds


async def _sale_line(stack: Stack, schedule_id: str, rounds: int, seconds: float) -> Line:
    customers = [await newcomer(stack.url, "customer") for _ in range(BUYERS)]
    ratios = []
    for _ in range(rounds):
        alone = await _hold_rate(customers, schedule_id, seconds)
        async with _watched(stack, schedule_id, WATCHERS):
            ratios.append(await _hold_rate(customers, schedule_id, seconds) / alone)
    for each in customers:
        each.close()
    return Line(
        f"holds a second with {WATCHERS} open pages, of those without", statistics.median(ratios), "", at_least=0.97
    )


# --- all of it --------------------------------------------------------------------------------------------------------
async def measure(rounds: int, seconds: float, console: Console) -> bool:
    """Measures and prints everything; whether all budgets hold."""
    lines: list[Line] = []
    async with own_stack(demo=True) as stack, _chromium() as browser:
        schedule_id = await _arena(stack.url)
        for what, path, there, limit in (
            ("the first performance at home", "/", CARD, 2.0),
            ("the map of 15,000 places", f"/s/{schedule_id}", MAP, 3.0),
        ):
            waited = [await _waited(browser, stack.url, path, there) for _ in range(rounds)]
            lines.append(Line(what, statistics.median(waited), "s", at_most=limit))
        lines += await _map_lines(browser, stack, schedule_id)
        lines += await _serving_lines(stack, schedule_id, rounds)
        lines.append(await _sale_line(stack, schedule_id, rounds, seconds))
    _print(console, lines)
    return all(line.holds for line in lines)


async def _arena(url: str) -> str:
    """An evening in the largest hall of the demo season."""
    async with httpx.AsyncClient(base_url=url) as http:
        items: list[dict[str, Any]] = (await http.get("/v1/performances", params={"limit": 100})).json()["items"]
        performance = next(each for each in items if each["venue"]["name"].startswith(ARENA))
        schedules = (await http.get(f"/v1/performances/{performance['id']}/schedules")).json()["items"]
    return str(schedules[0]["id"])


def _print(console: Console, lines: list[Line]) -> None:
    load = os.getloadavg()[0]
    table = Table(title=f"Pages, at a load average of {load:.1f}", title_justify="left")
    for heading in ("what", "measured", "budget", ""):
        table.add_column(heading)
    for line in lines:
        budget = f"≤ {line.at_most:g}" if line.at_most is not None else f"≥ {line.at_least:g}"
        table.add_row(
            line.what, f"{line.value:.2f} {line.unit}", f"{budget} {line.unit}", "" if line.holds else "missed"
        )
    console.print(table)
