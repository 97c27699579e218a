"""A card whose customer has to confirm with their bank (3-D Secure)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from persistence.providers.provider import Approved, ChargeRequest, Confirmation, Declined, Unknown
from persistence.providers.stripe_payments import StripeProvider
from tests.persistence.providers.charges import CLOCK, books, charge_of, ref
from tests.support.money.fake_stripe import FakeStripe
from tests.support.services.serving import impatient
from tests.support.waiting import until


async def to_confirm(provider: StripeProvider, token: str = "pm_requires_action") -> tuple[ChargeRequest, Confirmation]:
    """A payment that was declined because its customer has to confirm, and what they confirm it with."""
    request = charge_of(token)
    outcome = await provider.charge(request)
    assert isinstance(outcome, Declined)
    assert outcome.reason == "authentication_required"
    assert outcome.confirmation is not None
    return request, outcome.confirmation


def next_payment(request: ChargeRequest, confirmation: Confirmation) -> ChargeRequest:
    """The one that the customer asks for once they have confirmed."""
    return msgspec.structs.replace(request, payment_id=CLOCK.new_id(), token=confirmation.token)


async def test_what_the_customer_has_confirmed_is_charged_in_the_name_of_the_next_payment(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    first, confirmation = await to_confirm(provider)
    [intent] = fake.intents.values()
    assert (confirmation.token, confirmation.client_secret) == (intent["id"], intent["client_secret"])
    fake.ask_customer(intent["id"])
    request = next_payment(first, confirmation)
    assert await provider.charge(request) == Approved(intent["id"])
    assert await provider.charge(request) == Approved(intent["id"]), "once, however often it is sent"
    assert await provider.look_up(ref(request)) == Approved(intent["id"])
    assert await provider.look_up(ref(first)) is None
    assert len(fake.charges) == 1
    [known] = await books(provider)
    assert known.payment_id == request.payment_id
    other = msgspec.structs.replace(request, payment_id=CLOCK.new_id())
    assert await provider.charge(other) == Declined("invalid_token"), "the money is another payment's"


@pytest.mark.parametrize("token", ["pm_requires_action", "pm_requires_action_declined"])
async def test_a_look_up_finds_what_came_of_an_intent_as_old_as_the_hold(
    fake: FakeStripe, provider: StripeProvider, token: str
) -> None:
    first, confirmation = await to_confirm(provider, token)
    [intent] = fake.intents.values()
    intent["created"] -= 15 * 60
    fake.ask_customer(intent["id"])
    request = next_payment(first, confirmation)
    fake.silent.add(f"v1/payment_intents/{intent['id']}/confirm")
    with impatient(provider):
        assert isinstance(await provider.charge(request), Unknown)
    await until(lambda: bool(fake.charges))
    expected = Approved(intent["id"]) if token == "pm_requires_action" else Declined("insufficient_funds")
    assert await provider.look_up(ref(request)) == expected


async def test_what_was_never_confirmed_in_its_name_is_not_a_payment_s(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    first, confirmation = await to_confirm(provider)
    [intent] = fake.intents.values()
    intent["created"] -= 15 * 60
    fake.ask_customer(intent["id"])
    request = next_payment(first, confirmation)
    late = msgspec.structs.replace(request, valid_until_ms=CLOCK.now_ms() - 1)
    assert await provider.charge(late) == Unknown("too late to charge")
    assert await provider.look_up(ref(request)) is None
    assert fake.charges == {}


async def test_a_charge_that_failed_is_not_the_one_that_was_paid_later(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    """Or a message about the first would give back what the second has paid."""
    first, confirmation = await to_confirm(provider, "pm_requires_action_declined")
    [intent] = fake.intents.values()
    fake.ask_customer(intent["id"])
    failed = next_payment(first, confirmation)
    assert await provider.charge(failed) == Declined("insufficient_funds")
    intent |= {"status": "requires_confirmation", "payment_method": "pm_requires_action"}
    paid = next_payment(first, confirmation)
    assert await provider.charge(paid) == Approved(intent["id"])
    assert await provider.look_up(ref(failed)) == Declined("declined")
    assert await provider.look_up(ref(paid)) == Approved(intent["id"])


async def test_what_the_customer_has_not_confirmed_is_declined(fake: FakeStripe, provider: StripeProvider) -> None:
    first, confirmation = await to_confirm(provider)
    assert await provider.charge(next_payment(first, confirmation)) == Declined("authentication_required", confirmation)
    fake.ask_customer(confirmation.token, confirms=False)
    request = next_payment(first, confirmation)
    assert await provider.charge(request) == Declined("payment_intent_authentication_failure")
    assert fake.charges == {}


async def test_a_copy_of_a_declined_request_charges_nothing_and_renames_nothing(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    """It was sent twice, and the customer has confirmed between the two: or seats would be had for nothing."""
    first, confirmation = await to_confirm(provider)
    declined = next_payment(first, confirmation)
    assert await provider.charge(declined) == Declined("authentication_required", confirmation)
    fake.ask_customer(confirmation.token)
    assert await provider.charge(declined) == Declined("authentication_required", confirmation)
    assert fake.charges == {}
    paid = next_payment(first, confirmation)
    assert await provider.charge(paid) == Approved(confirmation.token)
    assert isinstance(await provider.charge(declined), Declined)
    assert fake.intents[confirmation.token]["metadata"]["payment_id"] == paid.payment_id
    assert await provider.look_up(ref(paid)) == Approved(confirmation.token)
    assert not isinstance(await provider.look_up(ref(declined)), Approved)
    assert len(fake.charges) == 1


async def test_a_bank_may_ask_again(fake: FakeStripe, provider: StripeProvider) -> None:
    first, confirmation = await to_confirm(provider, "pm_requires_action_twice")
    fake.ask_customer(confirmation.token)
    request = next_payment(first, confirmation)
    assert await provider.charge(request) == Declined("authentication_required", confirmation)


@pytest.mark.parametrize("changes", [{"booking_id": "another"}, {"amount": 54_000}, {"currency": "JPY"}])
async def test_what_was_confirmed_for_something_else_is_not_charged(
    fake: FakeStripe, provider: StripeProvider, changes: dict[str, Any]
) -> None:
    first, confirmation = await to_confirm(provider)
    fake.ask_customer(confirmation.token)
    request = msgspec.structs.replace(next_payment(first, confirmation), **changes)
    assert await provider.charge(request) == Declined("invalid_token")
    assert fake.charges == {}
    nobody_s = msgspec.structs.replace(request, token="pi_nobody")
    assert await provider.charge(nobody_s) == Declined("resource_missing")


def test_a_client_secret_is_not_printed() -> None:
    assert "secret" not in repr(Declined("authentication_required", Confirmation("pi_1_secret", "pi_1")))
