"""The pages' modules that need no browser, by node's own test runner; and how many bytes the pages come to."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors.mail.links import MAILS
from actors.mail.texts import KINDS
from api.demo.venues import arena
from api.http.problem_messages import PROBLEMS
from api.views.layout import Layout
from api.web import building
from api.web.served import PAGES
from engine.booking import STATUS_NAMES
from engine.plan_document import read_plan
from persistence.providers.minor_units import WITH_THREE, WITHOUT_DECIMALS
from persistence.reconciliation.told import SENTENCES
from tests.api.server.openapi import openapi_document

PURE = Path(__file__).parent / "pure"
ENTRY_GZIP_BYTES = 45 * 1024
PICKER_GZIP_BYTES = 40 * 1024  # what choosing seats adds to the entry
ARENA_BYTES = 160 * 1024  # all that a phone loads to choose among 15,000 seats
DRAWING_A_HOUSE = {"Seats", "Exchange"}
PAGE_GZIP_BYTES = 20 * 1024  # what a page of the customer's adds to the entry, styles included; and a door
LIVE_SALE_GZIP_BYTES = 45 * 1024  # what watching a sale adds to the entry; and, with its plot, to the seat map
RUNNING_GZIP_BYTES = 45 * 1024  # what a page for those who run the house adds
STYLE_GZIP_BYTES = 6 * 1024
ORGANIZER_GZIP_BYTES = 45 * 1024  # what a page of an organizer's adds, its map of a house and its charts included


def test_the_modules_that_need_no_browser() -> None:
    tests = sorted(str(path) for path in PURE.rglob("*.test.ts"))
    assert tests, f"there are no tests in {PURE}"
    building.run_node("--test", "--test-reporter=spec", *tests)


def test_pages_and_server_know_the_same_decimals_of_money() -> None:
    money = (building.ROOT / "src" / "words" / "money.ts").read_text()
    without, with_three = re.findall(r"= '([A-Z ]+)';", money)
    assert (without, with_three) == (WITHOUT_DECIMALS, WITH_THREE)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_admins_read_every_state_of_a_booking_and_every_kind_of_mail_in_words(language: str) -> None:
    words = (building.ROOT / "src" / "words" / "admin" / f"{language}.ts").read_text()
    states = words[words.index("bookingStates") : words.index("paymentStates")]
    mails = words[words.index("mailKinds") :]
    assert [name for name in STATUS_NAMES if f"{name}:" not in states] == []
    assert [name for name in (*KINDS, *MAILS) if f"{name}:" not in mails] == []


def test_what_reconciliation_says_has_korean_words_with_the_same_facts_and_nothing_else_has() -> None:
    words = (building.ROOT / "src" / "words" / "admin" / "reconciliation" / "ko.ts").read_text()
    korean = dict(re.findall(r"^  (\w+): '(.*)',$", words[: words.index("export const values")], re.MULTILINE))
    facts = re.compile(r"\{(\w+)\}")
    assert {code: sorted(facts.findall(text)) for code, text in korean.items()} == {
        code: sorted(facts.findall(text)) for code, text in SENTENCES.items()
    }


def test_every_sentence_of_reconciliation_is_said_somewhere() -> None:
    root = building.ROOT.parents[1]
    sources = [*(root / "actors" / "reconciliation").glob("*.py"), *(root / "persistence").rglob("*.py")]
    said = "\n".join(path.read_text() for path in sources if path.name != "told.py")
    assert [code for code in SENTENCES if f'"{code}"' not in said] == []
    assert set(re.findall(r'\bsay\(\s*"(\w+)"', said)) - SENTENCES.keys() == set()


# Sent twice, the one has set the same, and the other gives the same place.
SAFE_WITHOUT_KEY = {("PATCH", "/v1/schedules/{schedule_id}"), ("POST", "/v1/schedules/{schedule_id}/queue")}


def test_what_pages_order_under_a_key_has_the_one_of_its_wish_and_none_of_each_try() -> None:
    """A key that is made where the request is sent is another one when a lost answer is asked for again."""
    paths = openapi_document()["paths"]
    without, of_each_try = [], []
    for path in sorted((building.ROOT / "src").rglob("*.*")):
        if path.suffix not in {".ts", ".svelte"} or path.name == "openapi.d.ts":
            continue
        text = path.read_text()
        for order in re.finditer(r"api\.(POST|PUT|PATCH|DELETE)\('([^']+)'", text):
            parameters = paths[order[2]][order[1].lower()].get("parameters", [])
            if order.groups() in SAFE_WITHOUT_KEY or "Idempotency-Key" not in {each["name"] for each in parameters}:
                continue
            around = text[text.rfind("\n\n", 0, order.start()) : text.index("\n", order.end())]
            if re.search(r"\bkey\b", around) is None and "preview: true" not in around:
                without.append(f"{path.name}: {order[1]} {order[2]}")
            if "newKey()" in around:
                of_each_try.append(f"{path.name}: {order[1]} {order[2]}")
    assert (without, of_each_try) == ([], [])


# What only a program reads on from: a member of the document, a header, an address, the body of a request.
FOR_PROGRAMS = re.compile(r"see \w|[a-z]+_[a-z]+|Idempotency|Authorization|JSON|application/|`|\bsignature\b|\bbody\b")
# Of requests that no page of ours sends.
NEVER_OF_PAGES = {"malformed_json", "bad_signature"}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_the_api_tells_programs_where_to_read_on_pages_tell_people_themselves(language: str) -> None:
    words = (building.ROOT / "src" / "words" / "problems" / f"{language}.ts").read_text()
    untold = [
        code
        for code, kind in PROBLEMS.items()
        if FOR_PROGRAMS.search(kind.en.detail) and code not in NEVER_OF_PAGES and f" {code}: (" not in words
    ]
    assert untold == []
    assert [code for code in re.findall(r"(?m)^    (\w+): \(", words) if code not in PROBLEMS] == []


# --- what nobody uses -------------------------------------------------------------------------------------------------
SOURCES = {
    path.relative_to(building.ROOT): re.sub(r"(?s)/\*.*?\*/|<!--.*?-->|(?<![:'\"])//[^\n]*", "", path.read_text())
    for path in sorted((building.ROOT / "src").rglob("*.*"))
    if path.suffix in {".ts", ".svelte", ".css"} and path.name != "openapi.d.ts"
}
EXPORT = re.compile(r"\bexport (?:async )?(?:const|let|function\*?|class|type|interface) (\w+)")
IN_TWO_WORDS = re.compile(r"(?m)(?:^\s+|[{,]\s*)([a-z]+[A-Z]\w*):")  # one alone is looked up by a code, or is common
# What d3-zoom imports to animate with, in the place of a library that does.
IMPORTED_BY_D3 = {"interpolateZoom", "interrupt"}


def test_what_a_module_of_the_pages_exports_is_used_by_pages() -> None:
    exports = {name for text in SOURCES.values() for name in EXPORT.findall(text)}
    assert len(exports) > 300
    used = Counter(word for text in SOURCES.values() for word in re.findall(r"\w+", text))
    assert {name for name in exports if used[name] == 1} - IMPORTED_BY_D3 == set()


def test_every_word_in_a_language_is_said_somewhere() -> None:
    words = {path: text for path, text in SOURCES.items() if path.name in {"en.ts", "ko.ts"}}
    pages = [text for path, text in SOURCES.items() if path not in words]
    keys = {(str(path.parent), key) for path, text in words.items() for key in IN_TWO_WORDS.findall(text)}
    assert len(keys) > 300
    said = {word for text in pages for word in re.findall(r"\w+", text)}
    assert sorted(f"{where}: {key}" for where, key in keys if key not in said) == []


def test_no_form_begins_anew_with_the_version_of_a_booking() -> None:
    """Money that comes back makes a new version, and would close what somebody is filling in."""
    sources = {path.stem: text.split("</script>")[-1] for path, text in SOURCES.items() if path.suffix == ".svelte"}
    keyed = re.compile(r"\{#key [^}]*\.version\}\s*<(\w+)")
    anew = {name for source in sources.values() for name in keyed.findall(source)}
    assert "Ticket" in anew, "this looks for what stands no longer there"
    while more := {used for name in anew for used in re.findall(r"<([A-Z]\w+)", sources.get(name, ""))} - anew:
        anew |= more
    assert not [name for name in sorted(anew) if re.search(r"<form\b|bind:(?!this)", sources.get(name, ""))]


def test_every_class_of_the_common_styles_is_worn() -> None:
    styles = "".join(text for path, text in SOURCES.items() if path.suffix == ".css")
    pages = [text for path, text in SOURCES.items() if path.suffix != ".css"]
    pages.append((building.ROOT / "index.html").read_text())
    worn = {word for text in pages for word in re.findall(r"[\w-]+", text)}
    assert set(re.findall(r"\.([a-z][\w-]*)", styles)) - worn == set()


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    try:
        building.bring_up_to_date()
    except building.NoLibraries as reason:
        pytest.skip(f"THE PAGES CANNOT BE BUILT HERE, AND ARE NOT MEASURED: {reason}")
    found: dict[str, Any] = json.loads((building.BUILT / ".vite" / "manifest.json").read_text())
    return found


def files_of(manifest: dict[str, Any], name: str) -> set[str]:
    """The scripts that must be there before `name` runs, itself included."""
    files, waiting = set(), [name]
    while waiting:
        chunk = manifest[waiting.pop()]
        if chunk["file"] not in files:
            files.add(chunk["file"])
            waiting += chunk.get("imports", ())
    return files


def compressed(files: set[str]) -> int:
    """Their bytes as gzip sends them; what is too small to shrink has no compressed form."""
    places = [building.BUILT / name for name in files]
    packed = [place.with_name(place.name + ".gz") for place in places]
    return sum((gz if gz.exists() else place).stat().st_size for place, gz in zip(places, packed, strict=True))


def test_the_entry_is_small(manifest: dict[str, Any]) -> None:
    assert compressed(files_of(manifest, "index.html")) <= ENTRY_GZIP_BYTES


def test_pages_of_those_who_run_the_house_cost_the_entry_nothing_and_are_small(manifest: dict[str, Any]) -> None:
    entry = files_of(manifest, "index.html")
    pages = [name for name in manifest if name.startswith("src/admin/") and manifest[name].get("isDynamicEntry")]
    assert len(pages) == 2, "all of it, and the journal, which draws a house"
    sizes = {name: compressed(files_of(manifest, name) - entry) for name in pages}
    assert not {manifest[name]["file"] for name in pages} & entry
    assert {name: size for name, size in sizes.items() if size > RUNNING_GZIP_BYTES} == {}


def test_every_page_of_the_customer_adds_little_to_the_entry(manifest: dict[str, Any]) -> None:
    entry = files_of(manifest, "index.html")
    pages = [name for name in manifest if name.startswith("src/customer/") and manifest[name].get("isDynamicEntry")]
    assert pages
    sizes = {name: compressed(files_of(manifest, name) - entry) for name in pages}
    most = {name: PICKER_GZIP_BYTES if Path(name).stem in DRAWING_A_HOUSE else PAGE_GZIP_BYTES for name in pages}
    assert {name: size for name, size in sizes.items() if size > most[name]} == {}


def test_every_page_of_an_organizer_adds_little_to_the_entry(manifest: dict[str, Any]) -> None:
    entry = files_of(manifest, "index.html")
    pages = {component for _, component in PAGES if component.startswith("src/organizer/")}
    assert pages
    sizes = {name: compressed(files_of(manifest, name) - entry) for name in pages}
    assert {name: size for name, size in sizes.items() if size > ORGANIZER_GZIP_BYTES} == {}


def test_a_door_adds_little_to_the_entry(manifest: dict[str, Any]) -> None:
    door = files_of(manifest, "src/door/DoorPage.svelte") - files_of(manifest, "index.html")
    assert 0 < compressed(door) <= PAGE_GZIP_BYTES


def test_the_styles_of_the_entry_are_small(manifest: dict[str, Any]) -> None:
    assert compressed(set(manifest["index.html"].get("css", ()))) <= STYLE_GZIP_BYTES


def test_choosing_seats_adds_little_to_the_entry_and_an_arena_is_soon_there(manifest: dict[str, Any]) -> None:
    page = "src/customer/finding/Seats.svelte"
    entry, picker = files_of(manifest, "index.html"), files_of(manifest, page)
    assert compressed(picker - entry) <= PICKER_GZIP_BYTES
    styles = {name for each in ("index.html", page) for name in manifest[each].get("css", ())}
    layout = gzip.compress(Layout(read_plan(arena())).body)
    states = 4_000  # see tests/api/views/test_seat_forms.py
    assert compressed(picker | entry | styles) + len(layout) + states <= ARENA_BYTES


def test_watching_a_sale_adds_little_to_the_entry_and_its_plot_little_more(manifest: dict[str, Any]) -> None:
    entry, picker = files_of(manifest, "index.html"), files_of(manifest, "src/customer/finding/Seats.svelte")
    live = files_of(manifest, "src/organizer/live/LivePage.svelte")
    plot = files_of(manifest, "src/organizer/live/sale/Plot.svelte")
    assert compressed(live - entry) <= LIVE_SALE_GZIP_BYTES
    assert compressed((live | plot) - entry - picker) <= LIVE_SALE_GZIP_BYTES
    assert not plot <= live, "the plot comes when there is something to plot"
