"""What the pages may load and run, as content security policies.

No script, style or connection but our own; pictures of performances from the hosts that the operator has named. The
policy for markup is Svelte's, which makes its templates from the compiler's constants; `boxoffice` names the service
worker.

Where people pay with a provider's own form, its scripts run, on that page and no other. They know nothing of Trusted
Types, so that page does without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Directives = Mapping[str, str]

PAGE: Directives = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "connect-src": "'self'",
    "font-src": "'self'",
    "worker-src": "'self'",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "svelte-trusted-html boxoffice",
}
TRUSTED_TYPES = ("require-trusted-types-for", "trusted-types")

# By provider, what its form needs beyond: docs.stripe.com/security/guide#content-security-policy,
# docs.tosspayments.com/sdk/v2/js. `src/customer/paying/cards.ts` loads the scripts.
PROVIDERS: Mapping[str, Directives] = {
    "stripe": {
        "script-src": "https://js.stripe.com https://*.js.stripe.com",
        "connect-src": "https://api.stripe.com",
        "frame-src": "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
    },
    "toss": {
        "script-src": "https://js.tosspayments.com",
        "connect-src": "https://*.tosspayments.com",
        "frame-src": "https://*.tosspayments.com",
        "form-action": "https://*.tosspayments.com",
    },
}


def written(directives: Directives) -> str:
    """As the header's value."""
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def with_pictures(hosts: Sequence[str]) -> Directives:
    """The policy of pages that show pictures from these hosts, too."""
    return {**PAGE, "img-src": " ".join((PAGE["img-src"], *(f"https://{host}" for host in hosts)))}


def paying_with(provider: str) -> Directives:
    """The policy of the page where people pay; the sandbox has no script."""
    more = PROVIDERS.get(provider)
    if more is None:
        return PAGE
    page = {name: value for name, value in PAGE.items() if name not in TRUSTED_TYPES}
    return page | {name: f"{page.get(name, '')} {value}".strip() for name, value in more.items()}


# A service worker asks for itself, by its own policy.
WORKER: Directives = {"default-src": "'none'", "connect-src": "'self'"}
