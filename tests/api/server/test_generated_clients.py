"""The document makes clients: a public generator reads every operation; its client buys a seat and gives it back."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import openapi_python_client
import pytest
from openapi_python_client.config import Config, ConfigFile, MetaType

from tests.api.server.openapi import openapi_document
from tests.support.sale import PASSWORD, open_sale

if TYPE_CHECKING:
    from tests.conftest import Stack

PACKAGE = "boxoffice_client_made_from_the_document"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


@pytest.fixture(scope="module")
def made(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the client was generated, without a warning."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "openapi.json").write_text(json.dumps(document))
    config = Config.from_sources(
        ConfigFile(post_hooks=[]),
        MetaType.NONE,
        document_source=folder / "openapi.json",
        file_encoding="utf-8",
        overwrite=True,
        output_path=folder / PACKAGE,
    )
    warnings = [f"{each.header}: {each.detail}" for each in openapi_python_client.generate(config=config)]
    assert warnings == []
    return folder / PACKAGE


@pytest.fixture(scope="module")
def client(made: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(made.parent))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(made.parent))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["operationId"]: each for methods in document["paths"].values() for each in methods.values()}


def test_every_operation_comes_out(document: dict[str, Any], made: Path) -> None:
    assert {path.stem for path in made.glob("api/*/*.py") if path.stem != "__init__"} == set(operations(document))


def test_every_operation_says_what_it_answers(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        answers = {code: each for code, each in operation["responses"].items() if code.startswith("2")}
        assert answers, name
        for code, each in answers.items():
            if code in ("202", "204") and "content" not in each:
                continue  # nothing comes back
            for kind, content in each["content"].items():
                assert content.get("schema"), f"{name}: {code} {kind}"


def test_shapes_are_named_after_what_they_are(document: dict[str, Any]) -> None:
    names = set(document["components"]["schemas"])
    assert {"BookingWish", "PaymentWish", "BookingView", "BookingViewPage", "PerformanceView"} <= names
    assert [name for name in names if "__" in name or not name.isidentifier()] == []


def test_arrays_have_items_and_headers_are_no_lists(document: dict[str, Any]) -> None:
    def walk(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            yield node
            for key, value in node.items():
                if key not in ("example", "examples"):
                    yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    for node in walk(document):
        assert node.get("type") != "array" or "items" in node or "prefixItems" in node, node
        if node.get("in") == "header" and "schema" in node:
            assert "array" not in json.dumps(node["schema"]), node["name"]


@pytest.mark.stack
async def test_the_client_buys_a_seat_and_gives_it_back(
    client: ModuleType, http: httpx.AsyncClient, stack: Stack
) -> None:
    def api(tag: str, operation: str) -> Any:
        return importlib.import_module(f"{PACKAGE}.api.{tag}.{operation}")

    models = importlib.import_module(f"{PACKAGE}.models")
    sale = await open_sale(http)
    email = f"generated-{sale.schedule_id}@example.com"
    async with client.Client(base_url=stack.base_url, raise_on_unexpected_status=True) as anybody:
        account = models.NewAccount(email=email, password=PASSWORD)
        assert (await api("accounts", "sign_up").asyncio(client=anybody, body=account)).email == email
        credentials = models.Credentials(email=email, password=PASSWORD)
        session = await api("sessions", "log_in").asyncio(client=anybody, body=credentials)
    async with client.AuthenticatedClient(
        base_url=stack.base_url, token=session.access_token, raise_on_unexpected_status=True
    ) as customer:
        wish = models.BookingWish(seats=[sale.seats[0]])
        held = await api("bookings", "book").asyncio(UUID(sale.schedule_id), client=customer, body=wish)
        assert (held.status, held.seats[0].id, held.schedule.venue_name) == ("held", sale.seats[0], "A house")
        how = models.PaymentWish(method=models.Card(type_="card", token="tok_approve"))
        paid = await api("payments", "pay").asyncio(UUID(held.id), client=customer, body=how, idempotency_key="once")
        assert (paid.status, paid.amount, paid.booking.status) == ("approved", 150_000, "confirmed")
        ticket = await api("tickets", "get_ticket").asyncio(UUID(held.id), client=customer)
        assert (ticket.number, len(ticket.seats)) == (held.number, 1)
        page = await api("bookings", "list_bookings").asyncio(client=customer)
        assert [each.id for each in page.items] == [held.id]
        give_back = api("refunds", "refund_payment").asyncio
        refunded = await give_back(UUID(paid.id), client=customer, body=models.RefundWish())
        assert (refunded.amount + refunded.fee, refunded.booking.status) == (150_000, "refunded")
