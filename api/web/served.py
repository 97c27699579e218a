"""Serves the built pages from memory, ahead of the application's own routes.

Every file is read at start with the compressed forms that the build made, so that an answer is a look-up. Hashed names
are cached for ever; the shell, which names them, is asked about every time and mostly answered with 304. Addresses that
people share get a head of their own (`sharing`). Where nothing is built the API serves all the same, and a page says
how to build.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import cramjam
from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.accepting import wishes
from api.http.codings import BROTLI, GZIP, codings_for
from api.http.models import UUID_FORM
from api.web import policies
from api.web.building import BUILT, DIGEST
from api.web.sharing import Sharing

SECURITY = {
    "content-security-policy": policies.written(policies.PAGE),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
WORKER = "sw.js"
FOR_EVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"
KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".png": "image/png",
}
HTML = KINDS[".html"]

ID = UUID_FORM.pattern
# Which page is at which address, by the source file of its component. `src/routes.ts` says the same to the browser.
PAGES: tuple[tuple[str, str], ...] = (
    (r"/", "src/customer/finding/Home.svelte"),
    (rf"/p/({ID})", "src/customer/finding/Performance.svelte"),
    (rf"/s/({ID})", "src/customer/finding/Seats.svelte"),
    (r"/s/[^/]+/queue", "src/customer/queue/Queue.svelte"),
    (r"/b/[^/]+", "src/customer/booking/Booking.svelte"),
    (r"/b/[^/]+/exchange", "src/customer/exchange/Exchange.svelte"),
    (r"/bookings", "src/customer/booking/Bookings.svelte"),
    (r"/account", "src/customer/account/Account.svelte"),
    (r"/door/[^/]+", "src/door/DoorPage.svelte"),
    (r"/admin", "src/admin/Admin.svelte"),
    (r"/admin/[^/]+", "src/admin/Admin.svelte"),
    (r"/admin/journal/[^/]+", "src/admin/journal/AdminJournal.svelte"),
    (r"/o/s/[^/]+/journal", "src/organizer/live/JournalPage.svelte"),
    (r"/o", "src/organizer/overview/Overview.svelte"),
    (r"/o/venues", "src/organizer/venue/Venues.svelte"),
    (r"/o/venues/new", "src/organizer/venue/NewVenue.svelte"),
    (r"/o/venues/[^/]+", "src/organizer/venue/Venue.svelte"),
    (r"/o/venues/[^/]+/plan", "src/organizer/venue/PlanReplacing.svelte"),
    (r"/o/performances/new", "src/organizer/performance/NewPerformance.svelte"),
    (r"/o/performances/[^/]+", "src/organizer/performance/Performance.svelte"),
    (r"/o/performances/[^/]+/schedules/new", "src/organizer/schedule/NewSchedule.svelte"),
    (r"/o/s/[^/]+/edit", "src/organizer/schedule/Schedule.svelte"),
    (r"/o/s/[^/]+", "src/organizer/live/LivePage.svelte"),
    (r"/login", "src/customer/account/LogIn.svelte"),
    (r"/signup", "src/customer/account/SignUp.svelte"),
    (r"/forgotten", "src/customer/account/Forgotten.svelte"),
    (r"/password-resets/(?P<token>[^/]+)", "src/customer/account/NewPassword.svelte"),
    (r"/email-confirmations/(?P<token>[^/]+)", "src/customer/account/ConfirmEmail.svelte"),
    (r"/(?:p|s)/[^/]+", ""),  # an id that cannot be one: the page says so
)
PAYING = "src/customer/booking/Booking.svelte"
SHARED = {"src/customer/finding/Performance.svelte": "performance", "src/customer/finding/Seats.svelte": "schedule"}
# Where programs ask. At any other address a browser that shows pages is shown one that says that there is none.
FOR_PROGRAMS = {
    *("v1", "docs", "openapi.json", "asyncapi.json", "healthz", "readyz", "metrics", "problems"),
    *("assets", "favicon.ico", "robots.txt"),
}
VERSION_PATH = "/pages-version"
BROTLI_LEVEL_AT_ONCE = 5  # of a shell made for one address: a third of a millisecond

NOT_BUILT = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Boxoffice</title>
<h1>The pages are not built</h1>
<p>The API works: <a href="/docs">/docs</a>. What is missing is what <code>make install</code> builds last, with
libraries from npm, which was out of reach then. Once it can be reached: <code>make install</code>, and start again.</p>

<h2 lang="ko">화면이 아직 만들어지지 않았습니다</h2>
<p lang="ko">API는 작동합니다: <a href="/docs">/docs</a>. 화면은 <code>make install</code>이 마지막에 npm 라이브러리로
만드는데, 그때 npm에 연결할 수 없었습니다.
연결되면 <code>make install</code>을 다시 실행하고 서버를 다시 시작하세요.</p>
"""


class Answer(Struct, frozen=True):
    """A body in every coding it has, with the headers of each."""

    etag: bytes
    codings: Mapping[str, tuple[list[tuple[bytes, bytes]], bytes]]  # "" is the body as it is
    unchanged: list[tuple[bytes, bytes]]  # the headers of a 304


def made(body: bytes, kind: str, caching: str, forms: Mapping[str, bytes], extra: Mapping[str, str] = {}) -> Answer:
    """The answer that a body is sent as; `forms` has its compressed forms by the name of their coding."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    common = {"etag": etag, "cache-control": caching, "vary": "accept-encoding", **extra}

    def headers(values: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        return [(name.encode(), value.encode()) for name, value in values.items()]

    codings = {}
    for coding, packed in {"": body, **forms}.items():
        named = {"content-encoding": coding} if coding else {}
        lengths = {"content-type": kind, "content-length": str(len(packed))}
        codings[coding] = (headers(common | lengths | named), packed)
    return Answer(etag.encode(), codings, headers(common))


class Shell:
    """The page without its content: what differs from address to address is its head."""

    def __init__(self, built: Path, pictures: Sequence[str] = ()) -> None:
        self.version = (built / DIGEST).read_text()[:16]
        self._manifest = json.loads((built / ".vite" / "manifest.json").read_text())
        html = (built / "index.html").read_text()
        self._before, title, after = re.split(r"(<title>.*?</title>)", html)
        self._title = title
        # From where pages show pictures: what the policy would keep out is not asked for.
        told = f'<meta name="pictures-from" content="{" ".join(pictures)}">' if pictures else ""
        self._after = f'<meta name="version" content="{self.version}">{told}{after}'
        self._security = {**SECURITY, "content-security-policy": policies.written(policies.with_pictures(pictures))}

    def page(self, component: str, head: str | None = None) -> Answer:
        """The shell for the page of a component, whose files the browser is told to fetch at once."""
        early = "".join(self._early(component)) if component in self._manifest else ""
        body = f"{self._before}{head or self._title}{early}{self._after}".encode()
        forms = {
            "br": bytes(cramjam.brotli.compress(body, level=BROTLI_LEVEL_AT_ONCE)),
            "gzip": gzip.compress(body, 6, mtime=0),
        }
        return made(body, HTML, ASK_FIRST, forms, self._security)

    def paying_with(self, provider: str) -> Answer:
        """The shell of the page where people pay: it says whose scripts may run there, for the page to see to."""
        told = f'{self._title}<meta name="pays-with" content="{provider}">'
        answer = self.page(PAYING, told)
        own = {
            b"content-security-policy": policies.written(policies.paying_with(provider)).encode(),
            b"cross-origin-opener-policy": b"same-origin-allow-popups",  # for whoever shows the bank in a window
        }
        codings = {coding: (_with(headers, own), body) for coding, (headers, body) in answer.codings.items()}
        return Answer(answer.etag, codings, _with(answer.unchanged, own))

    def _early(self, component: str) -> Iterator[str]:
        seen: set[str] = set()
        waiting = [component]
        while waiting:
            name = waiting.pop()
            if name in seen or self._manifest[name].get("isEntry"):
                continue  # the shell names the entry and what it imports itself
            seen.add(name)
            chunk = self._manifest[name]
            waiting += chunk.get("imports", ())
            yield f'<link rel="modulepreload" crossorigin href="/{chunk["file"]}">'
            yield from (f'<link rel="stylesheet" crossorigin href="/{each}">' for each in chunk.get("css", ()))


def _with(headers: list[tuple[bytes, bytes]], own: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [(name, own.get(name, value)) for name, value in headers]


def read_files(built: Path) -> dict[str, Answer]:
    """Every built file but the shell, by its path."""
    files = {}
    for path in sorted(built.rglob("*")):
        name = path.relative_to(built).as_posix()
        if path.suffix not in KINDS or name.startswith(".vite/") or name in ("index.html", DIGEST):
            continue
        forms = {
            coding: packed.read_bytes()
            for coding, suffix in (("br", ".br"), ("gzip", ".gz"))
            if (packed := path.with_name(path.name + suffix)).exists()
        }
        caching = FOR_EVER if name.startswith("assets/") else ASK_FIRST
        extra = {"x-content-type-options": "nosniff"}
        if name == WORKER:
            extra["content-security-policy"] = policies.written(policies.WORKER)
        files[f"/{name}"] = made(path.read_bytes(), KINDS[path.suffix], caching, forms, extra)
    return files


@lru_cache(maxsize=64)
def coding_of(accept_encoding: bytes) -> tuple[str, ...]:
    """The codings a client takes, the best one first, its body as it is last (RFC 9110 section 12.5.3)."""
    return (*codings_for(accept_encoding.decode("latin-1"), (BROTLI, GZIP)), "")


class Pages:
    """Answers for the pages' addresses and files, and hands on everything else."""

    def __init__(self, app: ASGIApp, built: Path = BUILT, pictures: Sequence[str] = ()) -> None:
        self._app = app
        self._sharing: Sharing[Answer] = Sharing()
        self._addresses = [(re.compile(pattern, re.ASCII), component) for pattern, component in PAGES]
        if (built / DIGEST).exists():
            self._shell: Shell | None = Shell(built, pictures)
            self._files = read_files(built)
            self._files[VERSION_PATH] = made(self._shell.version.encode(), KINDS[".txt"], ASK_FIRST, {})
            self._shells = {component: self._shell.page(component) for _, component in PAGES}
            self._paying = {provider: self._shell.paying_with(provider) for provider in policies.PROVIDERS}
        else:
            self._shell, self._files, self._shells, self._paying = None, {}, {}, {}
        self._not_built = made(NOT_BUILT.encode(), HTML, "no-store", {}, SECURITY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] != "http" or path.startswith("/v1/") or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        file = self._files.get(path)
        if file is not None:
            scope["route"] = SimpleNamespace(path="/assets" if path.startswith("/assets/") else path)
            await _send(file, 200, scope, send)
            return
        for pattern, component in self._addresses:
            if (matched := pattern.fullmatch(path)) is not None:
                scope["route"] = SimpleNamespace(path=pattern.pattern)
                ids = matched.groups()
                answer, status = await self._page(component, ids[0] if ids else "", scope)
                await _send(answer, status, scope, send)
                return
        if self._shell is not None and path.split("/", 2)[1] not in FOR_PROGRAMS and _shows_pages(scope):
            await _send(self._shells[""], 404, scope, send)
            return
        await self._app(scope, receive, send)

    async def _page(self, component: str, its_id: str, scope: Scope) -> tuple[Answer, int]:
        if self._shell is None:
            return self._not_built, 503
        if component == PAYING:
            provider = scope["app"].state.office.settings.provider
            return self._paying.get(provider, self._shells[component]), 200
        if component not in SHARED:
            return self._shells[component], 200 if component else 404
        shell = self._shell
        shared = await self._sharing.page(
            scope["app"].state.office, SHARED[component], its_id, lambda head: shell.page(component, head)
        )
        # Where the head cannot be had, the page itself finds out why, and tells.
        return (self._shells[component], 200) if shared is None else shared


def _shows_pages(scope: Scope) -> bool:
    accept = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
    return any(kind == "text/html" and weight > 0 for kind, weight in wishes(accept))


async def _send(answer: Answer, status: int, scope: Scope, send: Send) -> None:
    accept = known = b""
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            accept = value
        elif name == b"if-none-match":
            known = value
    if status == 200 and known and (known == b"*" or answer.etag in known):
        await send({"type": "http.response.start", "status": 304, "headers": answer.unchanged})
        await send({"type": "http.response.body", "body": b""})
        return
    headers, body = next(answer.codings[each] for each in coding_of(accept) if each in answer.codings)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
