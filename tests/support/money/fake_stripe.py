"""What stripe-mock cannot do: a Stripe that remembers, over real HTTP, and whose payment methods decide what happens.

Like the real one it answers a repeated idempotency key with the first answer, and refuses it with other parameters.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.responses import Response

KEY = "sk_test_of_this_test"
NUMBERS = itertools.count(1)

Answer = tuple[int, dict[str, Any]]
Verdict = str | tuple[str, str | None, str | None, str | None]

# What Stripe answers for a payment method: the status of the intent, or (type, code, decline_code, param) of an error.
METHODS: dict[str, Verdict] = {
    "pm_ok": "succeeded",
    "pm_processing": "processing",
    "pm_requires_action": "requires_action",  # and then it pays
    "pm_requires_action_declined": "requires_action",  # and then it does not
    "pm_requires_action_twice": "requires_action",
    "pm_declined": ("card_error", "card_declined", "insufficient_funds", None),
    "pm_expired": ("card_error", "expired_card", None, None),
    "pm_authentication": ("card_error", "authentication_required", "authentication_required", None),
    "pm_nobody": ("invalid_request_error", "resource_missing", None, "payment_method"),
    "pm_misused": ("invalid_request_error", None, None, "payment_method"),
    "pm_other_mistake": ("invalid_request_error", "parameter_unknown", None, "confirm"),
    "pm_trouble": ("api_error", None, None, None),
}
# What it answers once the customer has confirmed.
CONFIRMED: dict[str, Verdict] = {
    "pm_requires_action": "succeeded",
    "pm_requires_action_declined": METHODS["pm_declined"],
    "pm_requires_action_twice": "requires_action",
}


class FakeStripe:
    """The API, and the levers of the tests."""

    def __init__(self) -> None:
        self.intents: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.answered: dict[tuple[str, str], tuple[dict[str, str], Answer]] = {}
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.silent: set[str] = set()  # paths whose work is done but never answered
        self.broken: dict[str, tuple[int, bytes]] = {}  # paths that answer this, and do nothing
        self.page_size = 100
        self.refund_status: str | None = "succeeded"
        self.app = FastAPI()
        self.app.add_api_route("/{path:path}", self.serve, methods=["GET", "POST"])

    async def serve(self, request: Request, path: str) -> Response:
        form = dict(parse_qsl((await request.body()).decode())) | dict(request.query_params)
        self.calls.append((request.method, path, form))
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return answer(401, error("invalid_request_error"))
        if path in self.broken:
            status, content = self.broken[path]
            return Response(content, status, media_type="application/json")
        key = (path, request.headers.get("idempotency-key", ""))
        if request.method == "POST" and key in self.answered:
            former, first = self.answered[key]
            return answer(*(first if former == form else (400, error("idempotency_error"))))
        status, content = self.route(request.method, path.split("/"), form)
        if request.method == "POST":
            assert key[1], "a request that moves money goes without an idempotency key"
            content = json.loads(json.dumps(content))  # as it was, whatever becomes of it
            self.answered[key] = (form, (status, content))
        if path in self.silent:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        return answer(status, content)

    def route(self, method: str, parts: list[str], form: dict[str, str]) -> Answer:
        match (method, parts):
            case ("POST", ["v1", "payment_intents"]):
                return self.create(form)
            case ("GET", ["v1", "payment_intents"]):
                return self.page(self.intents, form, lambda intent: in_time(intent, form))
            case ("POST", ["v1", "payment_intents", intent_id, "confirm"]):
                return self.confirm(self.intents[intent_id])
            case ("POST", ["v1", "payment_intents", intent_id]):
                self.intents[intent_id]["metadata"] |= metadata(form)
                return 200, shown(self.intents[intent_id], expanded=False)
            case ("GET", ["v1", "charges"]):
                return self.page(self.charges, form, lambda charge: in_time(charge, form))
            case ("GET", ["v1", "payment_intents", intent_id]):
                if intent_id not in self.intents:
                    return 404, error("invalid_request_error", "resource_missing", param="intent")
                return 200, shown(self.intents[intent_id], expanded="latest_charge" in form.values())
            case ("POST", ["v1", "refunds"]):
                return self.refund(form)
            case ("GET", ["v1", "refunds"]):
                return self.page(self.refunds, form, lambda each: each["payment_intent"] == form["payment_intent"])
        return 404, error("invalid_request_error")

    def create(self, form: dict[str, str]) -> Answer:
        assert form["confirm"] == "true"
        assert form["allowed_payment_method_types[0]"] == "card", "no method that leads the customer elsewhere"
        assert "return_url" not in form
        assert form["confirmation_method"] == "manual", "a page could have it charged, in nobody's name"
        if uneven(form["amount"], form["currency"]):
            return 400, error("invalid_request_error", param="amount")
        verdict = METHODS[form["payment_method"]]
        intent = self.intent(form, verdict if isinstance(verdict, str) else "requires_payment_method")
        if isinstance(verdict, str):
            return 200, shown(intent, expanded=False)
        if verdict[0] != "card_error":
            del self.intents[intent["id"]]
        return self.refuse(intent, verdict)

    def refuse(self, intent: dict[str, Any], verdict: tuple[str, str | None, str | None, str | None]) -> Answer:
        body = error(*verdict)
        if verdict[0] != "card_error":
            return 500 if verdict[0] == "api_error" else 400, body
        intent |= {"status": "requires_payment_method", "last_payment_error": body["error"]}
        self.charge(intent)
        return 402, {"error": body["error"] | {"payment_intent": dict(intent)}}

    def ask_customer(self, intent_id: str, *, confirms: bool = True) -> None:
        """The customer answers the bank's question."""
        intent = self.intents[intent_id]
        assert intent["status"] == "requires_action"
        if confirms:
            intent["status"] = "requires_confirmation"
        else:
            failed = error("card_error", "payment_intent_authentication_failure")["error"]
            intent |= {"status": "requires_payment_method", "last_payment_error": failed}

    def confirm(self, intent: dict[str, Any]) -> Answer:
        if intent["status"] != "requires_confirmation":
            return 400, error("invalid_request_error", "payment_intent_unexpected_state")
        verdict = CONFIRMED[intent["payment_method"]]
        if not isinstance(verdict, str):
            return self.refuse(intent, verdict)
        intent["status"] = verdict
        if verdict == "succeeded":
            intent |= {"amount_received": intent["amount"], "latest_charge": self.charge(intent)}
        return 200, shown(intent, expanded=False)

    def charge(self, intent: dict[str, Any]) -> dict[str, Any]:
        """The card is asked: Stripe copies the metadata of that moment."""
        charge: dict[str, Any] = {
            "id": f"ch_{next(NUMBERS):06}",
            "object": "charge",
            "amount_refunded": 0,
            "refunded": False,
            "created": int(time.time()),
            "payment_intent": intent["id"],
            "metadata": dict(intent["metadata"]),
        }
        self.charges[charge["id"]] = charge
        return charge

    def intent(self, form: dict[str, str], status: str, created: int | None = None) -> dict[str, Any]:
        """Remembers an intent, with its charge where it succeeded."""
        number = next(NUMBERS)
        amount = int(form["amount"])
        taken = amount if status == "succeeded" else 0
        intent: dict[str, Any] = {
            "id": f"pi_{number:06}",
            "object": "payment_intent",
            "status": status,
            "amount": amount,
            "amount_received": taken,
            "currency": form["currency"],
            "created": int(time.time()) if created is None else created,
            "metadata": metadata(form),
            "latest_charge": None,
            "last_payment_error": None,
            "payment_method": form.get("payment_method"),
            "client_secret": f"pi_{number:06}_secret",
        }
        if taken:
            intent["latest_charge"] = self.charge(intent)
        self.intents[intent["id"]] = intent
        return intent

    def refund(self, form: dict[str, str]) -> Answer:
        intent = self.intents.get(form["payment_intent"])
        if intent is None:
            return 404, error("invalid_request_error", "resource_missing", param="payment_intent")
        charge, amount = intent["latest_charge"], int(form["amount"])
        if uneven(form["amount"], intent["currency"]):
            return 400, error("invalid_request_error", param="amount")
        if charge["refunded"]:
            return 400, error("invalid_request_error", "charge_already_refunded")
        if amount > intent["amount_received"] - charge["amount_refunded"]:
            return 400, error("invalid_request_error", param="amount")
        if self.refund_status in ("succeeded", "pending"):
            charge["amount_refunded"] += amount
            charge["refunded"] = charge["amount_refunded"] == intent["amount_received"]
        refund = {
            "id": f"re_{next(NUMBERS):06}",
            "object": "refund",
            "amount": amount,
            "payment_intent": intent["id"],
            "status": self.refund_status,
            "failure_reason": "lost_or_stolen_card" if self.refund_status == "failed" else None,
            "metadata": metadata(form),
        }
        self.refunds[refund["id"]] = refund
        return 200, refund

    def page(self, items: dict[str, dict[str, Any]], form: dict[str, str], fits: Any) -> Answer:
        """Newest first, as Stripe lists."""
        fitting = [each for each in reversed(items.values()) if fits(each)]
        if "starting_after" in form:
            fitting = fitting[[each["id"] for each in fitting].index(form["starting_after"]) + 1 :]
        size = min(int(form["limit"]), self.page_size)
        expanded = "data.latest_charge" in form.values()
        data = [shown(each, expanded=expanded) for each in fitting[:size]]
        return 200, {"object": "list", "data": data, "has_more": len(fitting) > size, "url": "/v1/somewhere"}


def metadata(form: dict[str, str]) -> dict[str, str]:
    return {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}


def uneven(amount: str, currency: str) -> bool:
    """Of three decimals the last must be 0."""
    return currency in ("bhd", "jod", "kwd", "omr", "tnd") and not amount.endswith("0")


def in_time(intent: dict[str, Any], form: dict[str, str]) -> bool:
    return int(form["created[gte]"]) <= intent["created"] < int(form["created[lt]"])


def shown(item: dict[str, Any], *, expanded: bool) -> dict[str, Any]:
    charge = item.get("latest_charge")
    return item if expanded or charge is None else item | {"latest_charge": charge["id"]}


def error(
    type_: str, code: str | None = None, decline_code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    details = {"type": type_, "message": "…", "code": code, "decline_code": decline_code, "param": param}
    return {"error": {name: value for name, value in details.items() if value is not None}}


def answer(status: int, content: dict[str, Any]) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")
