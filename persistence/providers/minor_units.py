"""How many decimals a currency's minor unit has (ISO 4217), and exact conversion between minor and major units.

Amounts are integers of minor units everywhere else; only providers that speak decimals need this.
"""

from __future__ import annotations

from decimal import Decimal

USUAL_EXPONENT = 2
WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
WITH_THREE = "BHD IQD JOD KWD LYD OMR TND"
OTHER_EXPONENTS = {**dict.fromkeys(WITHOUT_DECIMALS.split(), 0), **dict.fromkeys(WITH_THREE.split(), 3)}


def exponent(currency: str) -> int:
    """The decimals of the currency's minor unit: 0 for KRW, 2 for USD, 3 for KWD."""
    return OTHER_EXPONENTS.get(currency, USUAL_EXPONENT)


def to_major(amount: int, currency: str) -> Decimal:
    """1050 of USD is 10.50; 55000 of KRW is 55000."""
    return Decimal(amount).scaleb(-exponent(currency))


def to_minor(amount: Decimal, currency: str) -> int | None:
    """The inverse; None where the amount is finer than the minor unit."""
    scaled = amount.scaleb(exponent(currency))
    return int(scaled) if scaled == scaled.to_integral_value() else None
