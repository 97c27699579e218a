"""The pictures that the README begins with, taken of the running pages: `make pictures`.

A system of its own with the demo season, the browser that the tests use, nobody at the screen. The same pages give the
same pictures but for dates and what is drawn from chance.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
from playwright.async_api import Browser, Page, async_playwright

from api.demo.season import ORGANIZER
from loadtest.stack import own_stack
from tests.web import browser as own_browser

DIRECTORY = Path(__file__).parents[2] / "docs" / "img"
MAX_BYTES = 150_000
PHONE = {"width": 390, "height": 780}
HANGUL_HALL = "한강 아레나"


async def take(url: str) -> None:
    """Takes all of them off the system at `url`."""
    found = own_browser.find()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(found.path), args=list(own_browser.ARGUMENTS), env={**os.environ, **found.environment}
        )
        page = await _reader(browser, url, "ko-KR", PHONE)
        await page.goto("/")
        await page.wait_for_load_state("networkidle")
        await _keep(page, "page-home")
        page = await _reader(browser, url, "en-US", PHONE)
        await _log_in(page)
        await page.goto(f"/s/{await _schedule(url)}")
        await page.get_by_role("button", name="Hold best seats").click()
        basket = page.get_by_role("region", name="Basket")
        await basket.get_by_role("button", name="Pay", exact=True).wait_for()
        await page.get_by_role("button", name="Zoom in").scroll_into_view_if_needed()
        await page.mouse.wheel(0, 120)
        await _keep(page, "page-seats")
        await basket.get_by_role("button", name="Pay", exact=True).click()
        await page.get_by_label("Card").select_option("tok_approve")
        await page.get_by_role("button", name="Pay now").click()
        await page.get_by_role("img", name="Ticket").wait_for()
        await page.evaluate("scrollTo(0, 0)")
        await _keep(page, "page-ticket")
        await _sell(await _reader(browser, url, "en-US", PHONE))
        await browser.close()


async def _sell(page: Page) -> None:
    """An organizer's first step: rows are counted, and the house is there."""
    await page.goto("/login?next=/o/venues/new")
    await page.get_by_role("textbox", name="E-mail").fill(ORGANIZER.email)
    await page.get_by_role("textbox", name="Password").fill(ORGANIZER.password)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await page.get_by_label("Name of the venue").fill("Moonlight Playhouse")
    await page.get_by_role("button", name="Fill in an example").click()
    await page.get_by_role("row", name="All 372").wait_for()
    await page.get_by_role("button", name="Add rows").scroll_into_view_if_needed()
    heading = page.get_by_role("heading", name="How it will look")
    await heading.evaluate("node => scrollBy(0, node.getBoundingClientRect().top - 230)")
    await _keep(page, "page-sell")


async def _reader(browser: Browser, url: str, language: str, size: Mapping[str, int]) -> Page:
    context = await browser.new_context(base_url=url, locale=language, viewport=size, color_scheme="light")  # type: ignore[arg-type]  # as above
    return await context.new_page()


async def _log_in(page: Page) -> None:
    await page.goto("/signup")
    await page.get_by_role("textbox", name="E-mail").fill("minji@example.com")
    await page.get_by_role("textbox", name="Password").fill("correct horse battery")
    await page.get_by_role("button", name="Sign up", exact=True).click()
    await page.get_by_role("link", name="Account", exact=True).wait_for()


async def _schedule(url: str) -> str:
    """An evening in the largest hall."""
    async with httpx.AsyncClient(base_url=url) as client:
        items = (await client.get("/v1/performances", params={"limit": 100})).json()["items"]
        performance = next(each for each in items if each["venue"]["name"].startswith(HANGUL_HALL))
        schedules = (await client.get(f"/v1/performances/{performance['id']}/schedules")).json()["items"]
    schedule_id: str = schedules[0]["id"]
    return schedule_id


async def _keep(page: Page, name: str) -> None:
    picture = await page.screenshot(animations="disabled")
    if len(picture) > MAX_BYTES:
        raise SystemExit(f"{name} has {len(picture)} bytes, more than {MAX_BYTES}")
    (DIRECTORY / f"{name}.png").write_bytes(picture)
    sys.stdout.write(f"docs/img/{name}.png: {len(picture) // 1000} kB\n")


async def main() -> None:
    """Starts a system with the demo season and takes the pictures."""
    async with own_stack(demo=True) as stack:
        await take(stack.url)


if __name__ == "__main__":
    asyncio.run(main())
