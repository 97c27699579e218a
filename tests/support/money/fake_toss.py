"""Toss Payments as far as its documentation describes what we use, over real HTTP, with the trouble that tests ask for.

It checks what the real one checks (key, order, amount, idempotency, what is left of a payment) and, like it, answers a
repeated idempotency key with the first answer, errors included.
"""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

KEY = "test_sk_of_this_test"
KOREA = timezone(timedelta(hours=9))
NUMBERS = itertools.count(1)


def number(amount: Decimal) -> Any:
    """As JSON writes it."""
    return int(amount) if amount == int(amount) else float(amount)


@dataclass
class Payment:
    """A payment that the customer has been at the window for."""

    key: str
    order_id: str
    amount: Decimal
    currency: str
    verdict: str = "DONE"  # what confirming it leads to: a status, or "<HTTP status> <error code>"
    status: str = "IN_PROGRESS"
    left: Decimal = Decimal(0)
    cancels: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None

    def body(self) -> dict[str, Any]:
        return {
            "version": "2022-11-16",
            "paymentKey": self.key,
            "orderId": self.order_id,
            "status": self.status,
            "currency": self.currency,
            "totalAmount": number(self.amount),
            "balanceAmount": number(self.left),
            "cancels": self.cancels or None,
            "failure": {"code": self.failure, "message": "…"} if self.failure else None,
            "method": "카드",
            "secret": None,
        }


class FakeToss:
    """The API, and the levers of the tests."""

    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.transactions: list[dict[str, Any]] = []
        self.answered: dict[tuple[str, str], tuple[int, Any]] = {}
        self.calls: list[str] = []
        self.page_size = 5000
        self.silent: set[str] = set()  # paths whose work is done but never answered
        self.broken: dict[str, tuple[int, bytes]] = {}  # paths that answer this, and do nothing
        self.cancel_status = "DONE"
        self.refund_verdict: str | None = None
        self.app = FastAPI()
        self.app.add_api_route("/{path:path}", self.serve, methods=["GET", "POST"])

    def window(self, order_id: str, amount: str, currency: str = "KRW", verdict: str = "DONE") -> Payment:
        """The customer pays in the window; the payment waits to be confirmed."""
        key = f"tviva20260101{next(NUMBERS):06}"
        payment = self.payments[key] = Payment(key, order_id, Decimal(amount), currency, verdict)
        return payment

    async def serve(self, request: Request, path: str) -> Response:
        body = await request.body()
        self.calls.append(f"{request.method} /{path}")
        expected = "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
        if request.headers.get("authorization") != expected:
            return answer(401, error("UNAUTHORIZED_KEY"))
        if path in self.broken:
            status, content = self.broken[path]
            return Response(content, status)
        key = (path, request.headers.get("idempotency-key", ""))
        if request.method == "POST" and key in self.answered:
            return answer(*self.answered[key])
        status, content = self.route(request, path, json.loads(body, parse_float=Decimal) if body else {})
        if request.method == "POST":
            assert key[1], "a request that moves money goes without an idempotency key"
            self.answered[key] = (status, content)
        if path in self.silent:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        return answer(status, content)

    def route(self, request: Request, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        parts = path.split("/")
        if path == "v1/payments/confirm":
            return self.confirm(body)
        if path == "v1/transactions":
            return self.list(dict(request.query_params))
        if parts[:3] == ["v1", "payments", "orders"]:
            # Which of several is not documented: the oldest is the least helpful.
            found = next((each for each in self.payments.values() if each.order_id == parts[3]), None)
        else:
            found = self.payments.get(parts[2])
        if found is None:
            return 404, error("NOT_FOUND_PAYMENT")
        return self.cancel(found, body) if parts[-1] == "cancel" else (200, found.body())

    def confirm(self, body: dict[str, Any]) -> tuple[int, Any]:
        payment = self.payments.get(body["paymentKey"])
        if payment is None:
            return 404, error("NOT_FOUND_PAYMENT_SESSION")
        if payment.status != "IN_PROGRESS":
            return 400, error("ALREADY_PROCESSED_PAYMENT")
        if (payment.order_id, payment.amount) != (body["orderId"], body["amount"]):
            return 400, error("INVALID_REQUEST")
        if any(each.order_id == payment.order_id and each.left for each in self.payments.values()):
            return 400, error("DUPLICATED_ORDER_ID")
        if payment.verdict[0].isdigit():
            status, code = payment.verdict.split()
            payment.status, payment.failure = "ABORTED", code
            return int(status), error(code)
        payment.status = payment.verdict
        if payment.status == "DONE":
            payment.left = payment.amount
            self.move(payment, "DONE", payment.amount)
        return 200, payment.body()

    def cancel(self, payment: Payment, body: dict[str, Any]) -> tuple[int, Any]:
        if payment.status == "WAITING_FOR_DEPOSIT":
            payment.status = "CANCELED"
            return 200, payment.body()
        if self.refund_verdict is not None:
            status, code = self.refund_verdict.split()
            return int(status), error(code)
        if payment.status == "CANCELED":
            return 400, error("ALREADY_CANCELED_PAYMENT")
        amount = Decimal(body.get("cancelAmount", payment.left))
        if payment.status not in ("DONE", "PARTIAL_CANCELED") or amount > payment.left:
            return 403, error("NOT_CANCELABLE_AMOUNT")
        assert len(body["cancelReason"]) <= 200
        if self.cancel_status == "DONE":
            payment.left -= amount
            payment.status = "PARTIAL_CANCELED" if payment.left else "CANCELED"
        transaction = self.move(payment, payment.status, amount)
        payment.cancels.append(
            {
                "transactionKey": transaction,
                "cancelReason": body["cancelReason"],
                "cancelAmount": number(amount),
                "cancelStatus": self.cancel_status,
            }
        )
        return 200, payment.body()

    def move(self, payment: Payment, status: str, amount: Decimal) -> str:
        """Writes the movement of money into the books; returns its key."""
        transaction = {
            "transactionKey": f"txrd_{next(NUMBERS):06}",
            "paymentKey": payment.key,
            "orderId": payment.order_id,
            "status": status,
            "amount": number(amount),
            "currency": payment.currency,
            "transactionAt": datetime.now(KOREA).isoformat(timespec="seconds"),
        }
        self.transactions.append(transaction)
        return str(transaction["transactionKey"])

    def list(self, query: dict[str, str]) -> tuple[int, Any]:
        keys = [transaction["transactionKey"] for transaction in self.transactions]
        after = query.get("startingAfter")
        if after is not None and after not in keys:
            return 400, error("INVALID_TRANSACTION_KEY")
        start = 0 if after is None else keys.index(after) + 1
        since, until = (
            datetime.strptime(query[name], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=KOREA)
            for name in ("startDate", "endDate")
        )
        fitting = [
            each
            for each in self.transactions[start:]
            if since <= datetime.fromisoformat(each["transactionAt"]) <= until
        ]
        return 200, fitting[: min(int(query["limit"]), self.page_size)]


def error(code: str) -> dict[str, str]:
    return {"code": code, "message": "…"}


def answer(status: int, content: Any) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, media_type="application/json")
