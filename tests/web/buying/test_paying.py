"""Providers with a form of their own plug in at one place: here by scripts that stand in for theirs, by their policies.

What the stand-ins give as a token is one of the sandbox's, so that the money is taken as usual.
"""

from __future__ import annotations

import httpx
import pytest
from playwright.async_api import Route

from api.web import policies
from tests.support.sale import Sale, open_sale, small_plan
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack

STRIPE = """
window.Stripe = (key) => ({
  elements: () => ({ create: () => ({ mount: (place) => { place.textContent = `card field of ${key}`; } }) }),
  createPaymentMethod: async () =>
    window.cardIsGood
      ? { paymentMethod: { id: window.bankAsks ? 'pm_asks' : 'tok_approve' } }
      : { error: { message: 'Your card number is incomplete.' } },
  handleCardAction: async (secret) => {
    (window.asked ??= []).push(secret);
    return window.customerConfirms ? { paymentIntent: {} } : { error: { message: 'We cannot authenticate you.' } };
  },
});
"""
# Its window can be closed: the promise is broken then, and nobody is led anywhere.
TOSS = """
window.TossPayments = Object.assign((key) => ({
  payment: () => ({
    requestPayment: async ({ orderId, amount, successUrl }) => {
      if (!window.pays) throw Object.assign(new Error('closed'), { code: 'USER_CANCEL' });
      location.assign(`${successUrl}?paymentKey=tok_approve&orderId=${orderId}&amount=${amount.value}`);
    },
  }),
}), { ANONYMOUS: 'anonymous' });
"""


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    return await open_sale(http, plan=small_plan(rows=4, seats_per_row=10))


async def at_the_form_of(provider: str, script: str, reader: Reader, sale: Sale, base_url: str) -> None:
    """Holds seats where `provider` takes the money, as if the system had been started so."""
    page = reader.page

    async def tell(route: Route) -> None:
        return_url = f"{base_url}/b/{{booking_id}}"
        await route.fulfill(json={"name": provider, "public_key": "pk_test", "return_url": return_url})

    async def serve(route: Route) -> None:
        answer = await route.fetch()
        html = (await answer.text()).replace("<title>", f'<meta name="pays-with" content="{provider}"><title>', 1)
        policy = policies.written(policies.paying_with(provider))
        await route.fulfill(response=answer, body=html, headers=answer.headers | {"content-security-policy": policy})

    await page.route("**/v1/payment-provider", tell)
    await page.route(lambda url: "/b/" in url and "/v1/" not in url, serve)
    await page.route("https://js.*/**", lambda route: route.fulfill(body=script, content_type="text/javascript"))
    await reader.sign_up()
    await reader.hold(sale.schedule_id)


async def test_a_card_goes_into_the_providers_own_field(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader()
    await at_the_form_of("stripe", STRIPE, reader, sale, str(http.base_url))
    await reader.reads("card field of pk_test")
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).click()
    await reader.reads("Your card number is incomplete.")
    await reader.page.evaluate("window.cardIsGood = true")
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).click()
    await reader.reads(reader.words["confirmed"])


async def test_a_card_is_confirmed_on_the_page_where_its_bank_asks_for_that(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader()
    await at_the_form_of("stripe", STRIPE, reader, sale, str(http.base_url))

    async def ask(route: Route) -> None:
        if "pm_asks" not in (route.request.post_data or ""):
            await route.fallback()
            return
        confirmation = {"client_secret": "pi_1_secret", "token": "tok_approve"}
        problem = {"code": "payment_declined", "title": "Payment declined", "status": 402, "detail": "See reason."}
        problem |= {"reason": "authentication_required", "confirmation": confirmation}
        await route.fulfill(status=402, json=problem, content_type="application/problem+json")

    await reader.page.route("**/v1/bookings/*/payments", ask)
    await reader.reads("card field of pk_test")
    await reader.page.evaluate("window.cardIsGood = window.bankAsks = true")
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).click()
    await reader.page.get_by_text("You have not confirmed it with its bank.").wait_for()
    await reader.page.evaluate("window.customerConfirms = true")
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).click()
    await reader.reads(reader.words["confirmed"])
    assert await reader.page.evaluate("window.asked") == ["pi_1_secret", "pi_1_secret"]


async def test_whoever_comes_back_from_the_providers_page_has_paid(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader("ko", "desktop")
    await at_the_form_of("toss", TOSS, reader, sale, str(http.base_url))
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).click()
    await reader.reads("결제를 마치지 않고 돌아오셨습니다. 좌석은 그대로 잡혀 있습니다.")
    await reader.page.evaluate("window.pays = true")
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).click()
    await reader.reads(reader.words["confirmed"])
    assert "paymentKey" not in reader.page.url
