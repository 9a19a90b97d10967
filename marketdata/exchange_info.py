"""Binance's exchangeInfo to SymbolRules, spot and USDT-margined futures. Pure.

Filters by binance-spot-api-docs filters.md, and the USDS-M futures docs, common-definition. Field names
differ between the markets; a zero switches its part of a filter off; unknown filters are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from marketdata.types import SymbolRules

QUOTE = "USDT"
# Bases that people look for first; the others follow by the alphabet.
POPULAR = (
    "BTC", "ETH", "BNB", "SOL", "XRP", "DOGE", "ADA", "TRX", "AVAX", "LINK", "SUI", "TON", "DOT", "LTC",
    "BCH", "SHIB", "NEAR", "UNI", "APT", "ATOM", "ETC", "XLM", "FIL", "HBAR", "ARB", "OP", "PEPE", "AAVE",
)  # fmt: skip
_RANK = {base: rank for rank, base in enumerate(POPULAR)}
NO_SPOT_TRADING = "NO_SPOT_TRADING"  # our status for a symbol that trades, but not for spot accounts
_MAX_TEXT = 40


@dataclass(frozen=True, slots=True)
class Parsed:
    """All symbols quoted in USDT, popular ones first, and a sentence for each row that could not be read."""

    symbols: tuple[SymbolRules, ...]
    skipped: tuple[str, ...]


def parse_exchange_info(info: Mapping[str, Any], market: str) -> tuple[SymbolRules, ...]:
    """The rules of all readable USDT symbols of an exchangeInfo answer; `market` is spot or futures.

    Those that do not trade are among them, so that a halted symbol can be named; dated futures are not.
    """
    return parse(info, market).symbols


def parse(info: Mapping[str, Any], market: str) -> Parsed:
    """As parse_exchange_info(), with what had to be skipped. Never raises for an odd row or answer."""
    rows = info.get("symbols") if isinstance(info, Mapping) else None
    found: dict[str, SymbolRules] = {}
    skipped: list[str] = []
    for row in rows if isinstance(rows, list) else []:
        try:
            if not _is_wanted(row, market):
                continue
            rules = _rules(row, market)
            found[rules.symbol] = rules
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            name = row.get("symbol") if isinstance(row, Mapping) else row
            skipped.append(f"{str(name)[:_MAX_TEXT]}: {type(error).__name__} {str(error)[:80]}")
    return Parsed(tuple(sorted(found.values(), key=popularity)), tuple(skipped))


def popularity(rules: SymbolRules) -> tuple[int, str]:
    """The sort key that puts popular bases first, then the alphabet."""
    return _RANK.get(rules.base, len(POPULAR)), rules.symbol


def _is_wanted(row: Mapping[str, Any], market: str) -> bool:
    if row["quoteAsset"] != QUOTE:
        return False
    # Dated contracts expire; "" is a perpetual that is about to be listed, TRADIFI_PERPETUAL a newer kind.
    contract = str(row.get("contractType", "PERPETUAL"))
    return market == "spot" or contract == "" or contract.endswith("PERPETUAL")


def _rules(row: Mapping[str, Any], market: str) -> SymbolRules:
    filters = {str(one["filterType"]): one for one in row.get("filters", [])}
    lot = filters.get("LOT_SIZE", {})
    market_lot = filters.get("MARKET_LOT_SIZE", {})
    price = filters.get("PRICE_FILTER", {})
    least, most, least_at_market, most_at_market = _notional(filters, market)
    steps = [step for one in (lot, market_lot) if (step := _decimal(one, "stepSize")) is not None]
    limits = [top for one in (lot, market_lot) if (top := _decimal(one, "maxQty")) is not None]
    lows = [low for one in (lot, market_lot) if (low := _decimal(one, "minQty")) is not None]
    return SymbolRules(
        symbol=_text(row["symbol"]),
        base=_text(row["baseAsset"]),
        quote=_text(row["quoteAsset"]),
        status=_status(row, market),
        lot_step=_common_multiple(steps) if steps else _step_of_precision(row, market),
        min_quantity=max(lows, default=Decimal(0)),
        max_quantity=min(limits, default=None),
        tick=_decimal(price, "tickSize"),
        min_price=_decimal(price, "minPrice"),
        max_price=_decimal(price, "maxPrice"),
        min_notional=least,
        max_notional=most,
        min_notional_applies_to_market=least_at_market,
        max_notional_applies_to_market=most_at_market,
        order_types=tuple(_text(one) for one in row.get("orderTypes", [])),
    )


def _notional(
    filters: Mapping[str, Mapping[str, Any]], market: str
) -> tuple[Decimal | None, Decimal | None, bool, bool]:
    """Least and most notional, and whether each counts for MARKET orders. Two filters: the stricter."""
    old = filters.get("MIN_NOTIONAL", {})
    new = filters.get("NOTIONAL", {})
    if market == "futures":
        return _decimal(old, "notional"), None, True, False
    old_least, new_least = _decimal(old, "minNotional"), _decimal(new, "minNotional")
    lows = [low for low in (old_least, new_least) if low is not None]
    at_market = (old_least is not None and bool(old.get("applyToMarket", True))) or (
        new_least is not None and bool(new.get("applyMinToMarket", True))
    )
    most = _decimal(new, "maxNotional")
    return max(lows, default=None), most, at_market, bool(new.get("applyMaxToMarket", False))


def _status(row: Mapping[str, Any], market: str) -> str:
    status = _text(row["status"])
    if market == "spot" and status == "TRADING" and row.get("isSpotTradingAllowed") is False:
        return NO_SPOT_TRADING
    return status


def _step_of_precision(row: Mapping[str, Any], market: str) -> Decimal:
    """Where both lot filters are off, the asset's precision is the step that is left."""
    digits = row["baseAssetPrecision" if market == "spot" else "quantityPrecision"]
    if type(digits) is not int or not 0 <= digits <= 18:
        raise ValueError(f"no lot step, and the precision is {digits!r}")
    return Decimal(1).scaleb(-digits)


def _common_multiple(steps: list[Decimal]) -> Decimal:
    """The least common multiple of positive decimals: a multiple of it fits every one of them."""
    scale = max(-_exponent(step) for step in steps)
    whole = math.lcm(*(int(step.scaleb(scale)) for step in steps))
    step = Decimal(whole).scaleb(-scale).normalize()
    return step.quantize(Decimal(1)) if step == step.to_integral_value() else step


def _exponent(value: Decimal) -> int:
    return min(0, int(value.normalize().as_tuple().exponent))


def _decimal(one: Mapping[str, Any], name: str) -> Decimal | None:
    """The field as a positive Decimal; None when it is missing or zero. Raises ValueError for nonsense."""
    value = one.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is {value!r}")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} is {str(value)[:_MAX_TEXT]!r}") from None
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > 30:
        raise ValueError(f"{name} is {str(value)[:_MAX_TEXT]!r}")
    return number if number else None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise ValueError(f"not a name: {str(value)[:_MAX_TEXT]!r}")
    return value
