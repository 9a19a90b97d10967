"""The exchange's filters, checked before an order leaves, and the ways between lots and quantities. Pure.

Rules: binance-spot-api-docs filters.md (PRICE_FILTER, LOT_SIZE, MARKET_LOT_SIZE, MIN_NOTIONAL,
NOTIONAL).
"""

from __future__ import annotations

from decimal import Decimal

from marketdata.types import SymbolRules

MOST_TICKS = 10**24  # beyond it a Decimal of 28 digits has no remainder


def lots_to_quantity(rules: SymbolRules, lots: int) -> Decimal:
    """The quantity in base units of a whole number of lots, exact."""
    return rules.lot_step * lots


def quantity_to_lots(rules: SymbolRules, quantity: Decimal) -> int:
    """The whole lots in a quantity of base units, rounded down. Raises ValueError for a negative quantity."""
    if quantity < 0:
        raise ValueError(f"a quantity can't be negative: {quantity}")
    return int(quantity // rules.lot_step)


def format_decimal(value: Decimal) -> str:
    """The shortest plain text of a Decimal, never with an exponent: "0.00001", "100".

    The exchange refuses "1e-05" (-1100). Raises ValueError for NaN and infinity.
    """
    if not value.is_finite():
        raise ValueError(f"{value} can't be sent to an exchange")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def check_order(
    rules: SymbolRules, *, type: str, quantity: Decimal, price: Decimal, reduce_only: bool = False
) -> list[str]:
    """Sentences about every filter that an order would violate; empty when it passes.

    `quantity` is in base units, `price` in quote units; for MARKET it is the expected price, which
    counts for the notional only. A rule that is None is off. What is `reduce_only` (futures) has no least
    notional (-4164 "unless reduceOnly").
    """
    violations = _lot_size(rules, quantity)
    if type != "MARKET":
        violations += _price_filter(rules, price)
    found = _notional(rules, type, quantity * price, reduce_only=reduce_only)
    return violations + found


def below_minimum(
    rules: SymbolRules, quantity: Decimal, price: Decimal | None, *, notional_counts: bool = True
) -> str | None:
    """Why a MARKET order of this quantity is too small for the exchange, or None.

    Without a price, and where `notional_counts` is False (futures reduce-only: -4164 "unless
    reduceOnly"), only the quantity is looked at.
    """
    if quantity < rules.min_quantity or quantity <= 0:
        return _too_little(rules, quantity)
    if price is None or not notional_counts or not rules.min_notional_applies_to_market:
        return None
    if rules.min_notional is not None and quantity * price < rules.min_notional:
        return _too_cheap(rules, quantity * price, rules.min_notional)
    return None


def _lot_size(rules: SymbolRules, quantity: Decimal) -> list[str]:
    violations = []
    if quantity < rules.min_quantity or quantity <= 0:
        violations.append(_too_little(rules, quantity))
    if rules.max_quantity is not None and quantity > rules.max_quantity:
        violations.append(
            f"quantity {format_decimal(quantity)} {rules.base} is above the largest allowed,"
            f" {format_decimal(rules.max_quantity)}"
        )
    if quantity % rules.lot_step != 0:
        violations.append(
            f"quantity {format_decimal(quantity)} {rules.base} is not a multiple of the step"
            f" {format_decimal(rules.lot_step)}"
        )
    return violations


def _price_filter(rules: SymbolRules, price: Decimal) -> list[str]:
    violations = []
    if price <= 0:
        violations.append(f"price {format_decimal(price)} is not positive")
    if rules.min_price is not None and price < rules.min_price:
        violations.append(
            f"price {format_decimal(price)} is below the lowest allowed, {format_decimal(rules.min_price)}"
        )
    if rules.max_price is not None and price > rules.max_price:
        violations.append(
            f"price {format_decimal(price)} is above the highest allowed, {format_decimal(rules.max_price)}"
        )
    if rules.tick is not None and (price > rules.tick * MOST_TICKS or price % rules.tick != 0):
        violations.append(
            f"price {format_decimal(price)} is not a multiple of the tick {format_decimal(rules.tick)}"
        )
    return violations


def _notional(rules: SymbolRules, type: str, notional: Decimal, *, reduce_only: bool) -> list[str]:
    is_market = type == "MARKET"
    violations = []
    smallest = rules.min_notional if not is_market or rules.min_notional_applies_to_market else None
    largest = rules.max_notional if not is_market or rules.max_notional_applies_to_market else None
    if smallest is not None and notional < smallest and not reduce_only:
        violations.append(_too_cheap(rules, notional, smallest))
    if largest is not None and notional > largest:
        violations.append(
            f"worth {format_decimal(notional)} {rules.quote} is above the largest allowed,"
            f" {format_decimal(largest)}"
        )
    return violations


def _too_little(rules: SymbolRules, quantity: Decimal) -> str:
    return (
        f"quantity {format_decimal(quantity)} {rules.base} is below the smallest allowed,"
        f" {format_decimal(rules.min_quantity)}"
    )


def _too_cheap(rules: SymbolRules, notional: Decimal, smallest: Decimal) -> str:
    return (
        f"worth {format_decimal(notional)} {rules.quote} is below the smallest allowed,"
        f" {format_decimal(smallest)}"
    )
