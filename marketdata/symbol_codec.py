"""SymbolRules to JSON and back, schema-checked, so that a poisoned cache value counts as missing. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from marketdata.types import SymbolRules
from tradebot.clock import from_ms, to_ms

SCHEMA = "tradebot-symbols-1"
_NAMES = tuple(field.name for field in fields(SymbolRules))
_TEXTS = ("symbol", "base", "quote", "status")
_FLAGS = ("min_notional_applies_to_market", "max_notional_applies_to_market")
_NEEDED = ("lot_step", "min_quantity")
_OPTIONAL = ("max_quantity", "tick", "min_price", "max_price", "min_notional", "max_notional")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What stood in a cache value: the rules, and when they were asked for."""

    symbols: tuple[SymbolRules, ...]
    refreshed_at: datetime


def encode(symbols: tuple[SymbolRules, ...], market: str, refreshed_at: datetime) -> bytes:
    """One JSON document; Decimals are strings."""
    rows = [[_plain(getattr(rules, name)) for name in _NAMES] for rules in symbols]
    document = {
        "schema": SCHEMA,
        "market": market,
        "refreshed_at_ms": to_ms(refreshed_at),
        "fields": _NAMES,
        "rows": rows,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def decode(value: bytes | None, market: str) -> Decoded | None:
    """The symbols in `value`; None when it is missing, of another market, or not what encode() gave."""
    try:
        document = json.loads(value or b"null")
        if document["schema"] != SCHEMA or document["market"] != market:
            return None
        if tuple(document["fields"]) != _NAMES or not document["rows"]:
            return None
        refreshed_at = from_ms(document["refreshed_at_ms"])
        return Decoded(tuple(_rules(row) for row in document["rows"]), refreshed_at)
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


def _rules(row: list[Any]) -> SymbolRules:
    values = dict(zip(_NAMES, row, strict=True))
    if not all(isinstance(values[name], str) and values[name] for name in _TEXTS):
        raise ValueError("a text is missing")
    if not all(isinstance(values[name], bool) for name in _FLAGS):
        raise ValueError("a flag is no boolean")
    for name in _NEEDED:
        values[name] = _decimal(values[name])
    for name in _OPTIONAL:
        values[name] = None if values[name] is None else _decimal(values[name])
    if values["lot_step"] == 0 or not isinstance(values["order_types"], list):
        raise ValueError("no lot step, or order types of another type")
    values["order_types"] = tuple(str(one) for one in values["order_types"])
    return SymbolRules(**values)


def _decimal(text: Any) -> Decimal:
    if not isinstance(text, str):
        raise TypeError("a number is not a string")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not number.is_finite() or number < 0:
        raise ValueError("not a number from 0 up")
    return number
