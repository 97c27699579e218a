"""How the built pages are served: from memory, compressed, by ETag, with a head of their own where they are shared."""

from __future__ import annotations

import contextlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cramjam
import httpx
import pytest
from starlette.responses import PlainTextResponse

from api.web import building, policies, sharing
from api.web.served import FOR_PROGRAMS, PAGES, Pages, coding_of
from tests.api.server.openapi import openapi_document

HOME = "src/customer/finding/Home.svelte"
ID = "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90"
OTHER_ID = "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c91"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A build in the small."""
    (tmp_path / ".vite").mkdir()
    (tmp_path / "assets").mkdir()
    manifest = {
        "index.html": {"file": "assets/index-1.js", "isEntry": True},
        HOME: {"file": "assets/Home-1.js", "imports": ["_card.js", "index.html"], "css": ["assets/Home-1.css"]},
        "_card.js": {"file": "assets/card-1.js", "imports": ["index.html"]},
    }
    (tmp_path / ".vite" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "index.html").write_text("<html><head><title>Boxoffice</title><link></head><body></body></html>")
    (tmp_path / "assets" / "index-1.js").write_text("let answer = 42;" * 100)
    (tmp_path / building.DIGEST).write_text("0123456789abcdef0123")
    building.compress(tmp_path)
    return tmp_path


async def route(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("a route of the API")(scope, receive, send)


@pytest.fixture
async def pages(built: Path) -> Any:
    transport = httpx.ASGITransport(app=Pages(route, built))
    async with httpx.AsyncClient(transport=transport, base_url="http://boxoffice.test") as client:
        yield client


async def test_a_file_with_a_hashed_name_is_kept_for_ever_and_sent_as_small_as_the_client_takes(pages: Any) -> None:
    sizes = {}
    for coding in ("br", "gzip", "identity"):
        async with pages.stream("GET", "/assets/index-1.js", headers={"Accept-Encoding": coding}) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers.get("content-encoding", "identity") == coding
        assert answer.headers["vary"] == "accept-encoding"
        assert int(answer.headers["content-length"]) == len(raw)
        sizes[coding] = len(raw)
        if coding == "br":
            assert bytes(cramjam.brotli.decompress(raw)).startswith(b"let answer")
    assert sizes["br"] <= sizes["gzip"] < sizes["identity"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", ("",)),
        (b"gzip, deflate, br", ("br", "gzip", "")),
        (b"br;q=0, gzip", ("gzip", "")),
        (b"*", ("br", "gzip", "")),
        (b"*;q=0", ("",)),
        (b"identity", ("",)),
    ],
)
def test_a_coding_is_used_only_where_the_client_takes_it(accept: bytes, expected: tuple[str, ...]) -> None:
    assert coding_of(accept) == expected


async def test_the_shell_is_asked_about_each_time_and_not_sent_twice(pages: Any) -> None:
    first = await pages.get("/")
    again = await pages.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-security-policy"] == policies.written(policies.PAGE)
    assert first.headers["x-content-type-options"] == "nosniff"


async def test_pictures_come_from_hosts_that_the_operator_has_named_and_from_nowhere_else(built: Path) -> None:
    for hosts, expected in (
        ((), "img-src 'self' data: blob:;"),
        (("a.example", "b.example:8443"), "blob: https://a.example"),
    ):
        transport = httpx.ASGITransport(app=Pages(route, built, hosts))
        async with httpx.AsyncClient(transport=transport, base_url="http://boxoffice.test") as client:
            page = await client.get("/")
        assert expected in page.headers["content-security-policy"]
        assert ('<meta name="pictures-from" content="a.example b.example:8443">' in page.text) == bool(hosts)


async def test_the_shell_names_what_its_page_needs_so_that_the_browser_need_not_find_out(pages: Any) -> None:
    html = (await pages.get("/")).text
    for name in ("assets/Home-1.js", "assets/card-1.js"):
        assert f'<link rel="modulepreload" crossorigin href="/{name}">' in html
    assert '<link rel="stylesheet" crossorigin href="/assets/Home-1.css">' in html
    assert 'href="/assets/index-1.js"' not in html, "the entry is named by the shell itself"
    assert '<meta name="version" content="0123456789abcdef">' in html
    assert (await pages.get("/pages-version")).text == "0123456789abcdef"


async def test_what_is_no_page_goes_on_to_the_api(pages: Any) -> None:
    for method, path in [("GET", "/v1/performances"), ("POST", "/"), ("GET", "/docs"), ("GET", "/assets/none.js")]:
        assert (await pages.request(method, path)).text == "a route of the API", path


async def test_a_browser_at_an_address_where_nothing_is_gets_a_page_that_says_so(pages: Any) -> None:
    for path, status in [("/nowhere", 404), ("/v1/nowhere", 200), ("/docs", 200)]:
        answer = await pages.get(path, headers={"Accept": "text/html,application/xhtml+xml"})
        assert answer.status_code == status, path
        assert ("<title>Boxoffice</title>" in answer.text) == (status == 404), path


def test_no_route_of_the_api_is_taken_for_a_page() -> None:
    roots = {path.split("/", 2)[1] for path in openapi_document()["paths"]}
    assert roots <= FOR_PROGRAMS


async def test_a_head_request_has_no_body(pages: Any) -> None:
    answer = await pages.head("/login")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


async def test_without_a_build_the_api_serves_and_every_page_says_how_to_build(tmp_path: Path) -> None:
    transport = httpx.ASGITransport(app=Pages(route, tmp_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://boxoffice.test") as client:
        page = await client.get("/")
        assert page.status_code == 503
        assert "make install" in page.text
        assert "화면" in page.text
        assert (await client.get("/v1/performances")).text == "a route of the API"


def test_browser_and_server_know_the_same_addresses() -> None:
    routes = (building.ROOT / "src" / "routes.ts").read_text()
    for _, component in PAGES:
        assert component == "" or f"import('./{component.removeprefix('src/')}')" in routes, component
    assert routes.count("load: () => import(") == len([component for _, component in PAGES if component])


async def test_a_providers_script_runs_where_people_pay_and_nowhere_else(shared: Any, office: FakeOffice) -> None:
    for provider, host in [
        ("sandbox", ""),
        ("stripe", "https://js.stripe.com"),
        ("toss", "https://js.tosspayments.com"),
    ]:
        office.settings.provider = provider
        paying, other = await shared.get(f"/b/{ID}"), await shared.get("/bookings")
        assert host in paying.headers["content-security-policy"]
        assert ('<meta name="pays-with"' in paying.text) == (provider != "sandbox")
        assert other.headers["content-security-policy"] == policies.written(policies.PAGE)
        assert "unsafe" not in paying.headers["content-security-policy"]


# --- shared addresses -------------------------------------------------------------------------------------------------
class Away(Exception):
    """The catalogue cannot be read."""


class FakeDatabase:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    @contextlib.asynccontextmanager
    async def connect(self) -> Any:
        self.asked += 1
        if self.away:
            raise Away
        yield None


class FakeOffice:
    def __init__(self) -> None:
        self.reading = FakeDatabase()
        self.settings = SimpleNamespace(provider="sandbox")

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> FakeOffice:
    """An office with one performance, ID."""

    async def head_of(_: Any, kind: str, its_id: str, __: datetime) -> str | None:
        return f"<title>{kind} {its_id}</title>" if its_id == ID else None

    monkeypatch.setattr(sharing, "head_of", head_of)
    monkeypatch.setattr(sharing, "is_away", lambda error: isinstance(error, Away))
    return FakeOffice()


@pytest.fixture
async def shared(built: Path, office: FakeOffice) -> Any:
    inner = Pages(route, built)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["app"] = type("App", (), {"state": type("State", (), {"office": office})})
        await inner(scope, receive, send)

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://boxoffice.test") as client:
        yield client


async def test_a_shared_address_has_a_head_of_its_own_and_is_looked_up_once(shared: Any, office: FakeOffice) -> None:
    for _ in range(3):
        answer = await shared.get(f"/p/{ID}")
        assert answer.status_code == 200
        assert f"<title>performance {ID}</title>" in answer.text
        assert "<title>Boxoffice</title>" not in answer.text
    assert office.reading.asked == 1
    assert f"<title>schedule {ID}</title>" in (await shared.get(f"/s/{ID}")).text


def test_search_engines_read_each_date_at_its_own_house_and_a_title_ends_no_script() -> None:
    def date(venue: str, **prices: int | None) -> Any:
        when = {"starts_at": datetime(2027, 3, 12, 20, tzinfo=UTC), "duration_minutes": 90, "cancelled_at": None}
        return SimpleNamespace(**when, venue_name=venue, currency="KRW", prices=prices)

    row: Any = SimpleNamespace(title="</script><b>", description=None)
    head = sharing.rendered(row, [date("Seoul", VIP=1, R=None), date("New York", VIP=1)])
    assert "<b>" not in head
    (linked,) = re.findall(r"<script type=.application/ld\+json.>(.*?)</script>", head)
    events = json.loads(linked)["@graph"]
    assert [event["location"]["name"] for event in events] == ["Seoul", "New York"]
    assert [event["offers"]["offerCount"] for event in events] == [1, 1]


async def test_what_is_not_in_the_catalogue_is_404_and_still_a_page(shared: Any) -> None:
    for path in (f"/p/{OTHER_ID}", f"/s/{OTHER_ID}", "/p/no-id"):
        answer = await shared.get(path)
        assert answer.status_code == 404, path
        assert "<title>Boxoffice</title>" in answer.text, path


async def test_while_the_catalogue_is_away_a_plain_shell_is_served_not_kept(shared: Any, office: FakeOffice) -> None:
    office.reading.away = True
    assert (await shared.get(f"/p/{ID}")).status_code == 200
    office.reading.away = False
    assert f"<title>performance {ID}</title>" in (await shared.get(f"/p/{ID}")).text
