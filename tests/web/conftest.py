"""One browser and one running system for all tests of the pages, and readers who look at them.

A reader's page fails its test if anything was written to the console that isn't a request's own refusal, if the content
security policy was violated, or if what the browser stores holds a token.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Browser, Error, Page, Route, async_playwright, expect

from api.web import building
from tests.support.sale import PASSWORD, log_in, patient
from tests.support.services import network
from tests.support.waiting import PATIENCE_SECONDS
from tests.web import browser as own_browser
from tests.web.words import WORDS

PATIENCE_MS = 1000 * PATIENCE_SECONDS
NARROW = {"width": 320, "height": 640}
SMALL = {
    "viewport": NARROW,
    "color_scheme": "light",
    "reduced_motion": "reduce",
}  # where nothing moves, to be looked at
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 860}}
AXE = own_browser.LIBRARIES / "axe-core" / "axe.min.js"
LOOK = """
async (rules) => {
  const options = { resultTypes: ['violations'], ...(rules.length && { runOnly: rules }) };
  for (let look = 1; ; look++) {
    const passing = document.getAnimations()
      .filter((each) => each.playState === 'running' && each.effect.getComputedTiming().endTime < Infinity);
    await Promise.allSettled(passing.map((each) => each.finished));
    const before = document.body.outerHTML;
    const found = await axe.run(document, options);
    if (found.violations.length === 0 || look === 5 || document.body.outerHTML === before) return found;
  }
}"""
WATCHING = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""
# So that a test says when a page has waited for long enough.
PATIENCE_BY_HAND = """
const asked = new AbortController();
AbortSignal.timeout = () => asked.signal;
window.enough = () => {
  AbortSignal.timeout = () => new AbortController().signal;
  asked.abort();
};"""
# What reaches beyond the right edge, as its tag, class and words.
STICKING_OUT = """
[...document.querySelectorAll('body *')]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .slice(-3)
  .map((each) => `${each.tagName}.${each.className}: ${(each.textContent ?? '').trim().slice(0, 60)}`)
"""
# Chromium's own line for an answer of 4xx or 5xx, which is part of what is tested; its line for a policy that is for
# https only; Playwright's for keeping service workers away, whose requests a test could not change; and what Chromium
# says of files it has loaded ahead, where the service worker takes a page over while it comes.
EXPECTED = (
    "Failed to load resource: the server responded with a status of",
    "The Cross-Origin-Opener-Policy header has been ignored, because the URL's origin was untrustworthy",
    "Service Worker registration blocked",
    "cross-world service worker",
    "preloaded using link preload",
)


class Reader:
    """Somebody at a browser: `page` is what they see, `words` is the language they see it in."""

    def __init__(self, page: Page, language: str) -> None:
        self.page = page
        self.words = WORDS[language]
        self.email = f"reader-{uuid4().hex}@example.com"
        self.console: list[str] = []
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(line in text for line in EXPECTED):
            self.console.append(f"{kind}: {text}")

    async def sign_up(self) -> None:
        """Makes an account on the page, and is logged in."""
        await self.page.goto("/signup")
        await self.page.get_by_role("textbox", name=self.words["email"]).fill(self.email)
        await self.page.get_by_role("textbox", name=self.words["password"]).fill(PASSWORD)
        await self.page.get_by_role("button", name=self.words["sign_up"], exact=True).click()
        await self.page.get_by_role("link", name=self.words["account"], exact=True).wait_for()

    async def log_in(self, email: str, password: str = PASSWORD, then: str = "/") -> None:
        """Logs in on the page with an account that is there already, and goes on from there."""
        await self.page.goto(f"/login?next={then}")
        await self.page.get_by_role("textbox", name=self.words["email"]).fill(email)
        await self.page.get_by_role("textbox", name=self.words["password"]).fill(password)
        await self.page.get_by_role("button", name=self.words["log_in"], exact=True).click()
        await self.page.get_by_role("link", name=self.words["account"], exact=True).wait_for()
        await self.page.wait_for_url(f"**{then}")  # or its own move would come after the test's first one

    async def joins(self, http: httpx.AsyncClient, role: str = "customer", then: str = "/") -> dict[str, str]:
        """Logs in with an account that the API has made; gives the headers of its requests."""
        account = {"email": self.email, "password": PASSWORD}
        await patient(http, "/v1/accounts", {**account, "role": role})
        await self.log_in(self.email, then=then)
        return await log_in(http, account)

    async def go(self, path: str) -> None:
        """Goes somewhere as a link would, without loading the page anew."""
        move = "path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
        await self.page.evaluate(move, path)

    async def hold(self, schedule_id: str, quantity: int = 2) -> None:
        """Holds the best seats of a date, and goes on to pay."""
        await self.go(f"/s/{schedule_id}")
        await self.page.get_by_label(self.words["quantity"]).fill(str(quantity))
        await self.page.get_by_role("button", name=self.words["hold_best"]).click()
        basket = self.page.get_by_role("region", name=self.words["basket"])
        await basket.get_by_role("button", name=self.words["pay"], exact=True).click()
        await self.page.wait_for_url("**/b/*")

    async def pay(self, token: str) -> None:
        await self.page.get_by_label(self.words["card"]).select_option(token)
        await self.page.get_by_role("button", name=self.words["pay_now"]).click()

    async def reads(self, text: str) -> None:
        """Waits until the text is there to read."""
        await self.page.get_by_text(text, exact=True).first.wait_for()

    async def faults(self, *rules: str) -> list[str]:
        """What axe finds wrong with the page as it is, as `rule: element`; by these rules alone, if any.

        A page that has changed while axe looked is looked at again: half of each is no page that anybody saw.
        """
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE.read_text())
        result = await self.page.evaluate(LOOK, list(rules))
        return [
            f"{found['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
            for found in result["violations"]
            for node in found["nodes"]
        ]

    async def settled(self) -> None:
        """Waits until there is a page and nothing of it is loading any more."""
        await self.page.locator("h1").first.wait_for()
        await self.page.locator("[aria-busy=true]:not([role=alert])").first.wait_for(state="detached")

    async def flaws(self) -> dict[str, object]:
        """What is wrong with the page as it is, light and dark, in either language: by axe, and what sticks out."""
        found: dict[str, object] = {}
        await self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        if faults := await self.faults():
            found["light"] = faults
        await self.page.emulate_media(color_scheme="dark")
        if faults := await self.faults("color-contrast"):
            found["dark"] = faults
        await self.page.emulate_media(color_scheme="light")
        for name in ("한국어", "English"):
            await self.page.get_by_role("button", name=name, exact=True).click()
            wide, room = await self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            if wide > room:
                found[name] = f"{wide} px of {room}: {await self.page.evaluate(STICKING_OUT)}"
        return found

    async def walk(self, states: Mapping[str, State], *about: Any) -> dict[str, object]:
        """What is wrong with each state of pages, come to one after the other on a narrow screen."""
        flaws: dict[str, object] = {}
        for name, (visit, says) in states.items():
            await self.go("/nowhere")  # so that no page stays as it is
            await self.reads("There is no such page")
            await visit(self, *about)
            await self.page.get_by_text(says, exact=False).locator("visible=true").first.wait_for()
            await self.settled()
            if found := await self.flaws():
                flaws[name] = found
            await self.lets_through()
        return flaws

    async def altered(self, url: str, change: Callable[[Any], Any]) -> None:
        """From now on the answer from there is read as `change` makes it of the real one."""

        async def answer(route: Route) -> None:
            response = await route.fetch()
            await route.fulfill(response=response, json=change(await response.json()))

        await self.page.route(url, answer)

    async def lets_through(self, url: str | None = None) -> None:
        """From now on what is asked from there, or from anywhere, is as it is.

        What Chromium is asking in the moment in which interception ends is never answered, and its page waits for ever.
        So it does not end: one is left that nothing fits.
        """
        await self.page.context.route("**/what-nobody-asks-for", lambda route: route.abort())
        await (self.page.unroute_all() if url is None else self.page.unroute(url))

    @asynccontextmanager
    async def dead_line(self, url: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Never answers the next page's first POST to there; gives what makes the page give it up."""
        asked, over = asyncio.Event(), asyncio.Event()

        async def dead(route: Route) -> None:
            if route.request.method != "POST" or asked.is_set():
                await route.fallback()
                return
            asked.set()
            await over.wait()
            with suppress(Error):  # its page has given it up
                await route.abort()

        async def given_up() -> None:
            await asked.wait()
            await self.page.evaluate("window.enough()")

        await self.page.add_init_script(PATIENCE_BY_HAND)
        await self.page.route(url, dead)
        try:
            yield given_up
        finally:
            over.set()

    def forgive(self, text: str) -> None:
        """Takes what a test itself provoked out of the console."""
        self.console = [line for line in self.console if text not in line]

    async def end(self) -> None:
        """Checks what must hold of every page, whatever was done on it."""
        assert self.console == []
        assert await self.page.evaluate("window.violations") == []
        stored = await self.page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
        assert "eyJ" not in stored, "an access token is a JWT, and they all begin like this"
        assert "token" not in stored


# How a state of a page is come to, and what the page says in it.
State = tuple[Callable[..., Awaitable[None]], str]


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A browser; where none can be had, the tests of the pages are skipped, and say so."""
    try:
        found = own_browser.find()
    except own_browser.NoBrowser as reason:
        pytest.skip(f"NO BROWSER, THE PAGES ARE NOT TESTED: {reason}")
    try:
        building.bring_up_to_date()
    except building.NoLibraries as reason:
        pytest.skip(f"THE PAGES CANNOT BE BUILT HERE, AND ARE NOT TESTED: {reason}")
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=str(found.path), args=list(own_browser.ARGUMENTS), env={**os.environ, **found.environment}
        )
        yield started
        await started.close()


MakeReader = Callable[..., Awaitable[Reader]]


@pytest.fixture
async def make_reader(chromium: Browser, http: httpx.AsyncClient) -> AsyncIterator[MakeReader]:
    """Readers, each with a browser profile of their own; what must hold of their pages is checked at the end."""
    async with network.unchanged():
        async for make in _readers(chromium, http):
            yield make


async def _readers(chromium: Browser, http: httpx.AsyncClient) -> AsyncIterator[MakeReader]:
    readers: list[Reader] = []

    async def make(language: str = "en", size: str = "phone", **options: Any) -> Reader:
        context = await chromium.new_context(
            base_url=options.pop("base_url", str(http.base_url)),
            locale={"ko": "ko-KR", "en": "en-US"}[language],
            service_workers=options.pop("service_workers", "block"),
            viewport=options.pop("viewport", SIZES[size]),  # type: ignore[arg-type]  # a dict of the same shape
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        await context.add_init_script(WATCHING)
        reader = Reader(await context.new_page(), language)
        readers.append(reader)
        return reader

    yield make
    for reader in readers:
        try:
            await reader.end()
        finally:
            await reader.page.context.close()
