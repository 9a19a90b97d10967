"""Faults of market data: candles and prices that no client should act upon."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from trading.paper.fault_model import AFTER, Answer, Fault, FaultRefused, Kind
from trading.paper.fault_network import content_of

Rows = list[Any]
STALE_CANDLES = 10
BAD_PRICES = {"nan": "NaN", "negative": "-1.00000000", "zero": "0.00000000"}


def _times(value: Any, factor: int) -> str:
    return f"{float(value) * factor:.8f}"


def _spoiled(row: Rows, what: str) -> Rows:
    """A candle whose open, high, low and close are wrong."""
    prices = [_times(one, 1000) if what == "thousandfold" else BAD_PRICES[what] for one in row[1:5]]
    return [row[0], *prices, *row[5:]]


_SHAPES: dict[str, Callable[[Rows], Rows]] = {
    "gap": lambda rows: rows[: len(rows) // 2] + rows[len(rows) // 2 + 1 :],
    "duplicate": lambda rows: rows + rows[-1:],
    "disorder": lambda rows: rows[1:] + rows[:1],
    "stale": lambda rows: rows[:-STALE_CANDLES],
    "empty": lambda rows: [],
}
CANDLES = (*_SHAPES, "thousandfold", *BAD_PRICES)
PRICES = ("thousandfold", *BAD_PRICES)


def check_what(fault: Fault) -> None:
    """Raise FaultRefused for something that cannot be wrong in this way."""
    known = CANDLES if fault.kind == "bad_klines" else PRICES
    if fault.options["what"] not in known:
        raise FaultRefused(f"what must be one of {', '.join(known)}")


def _changed(answer: Answer, change: Callable[[Any], Any]) -> Answer:
    try:
        body = json.loads(content_of(answer, b""))
    except ValueError:
        return answer
    if isinstance(body, dict) and "code" in body:
        return answer
    text = json.dumps(change(body), separators=(",", ":"), ensure_ascii=False)
    return web.Response(text=text, content_type="application/json")


async def _klines(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    what = fault.options["what"]

    def change(rows: Rows) -> Rows:
        if what in _SHAPES:
            return _SHAPES[what](rows)
        place = max(0, len(rows) - 2)  # the last closed one
        return [_spoiled(row, what) if at == place else row for at, row in enumerate(rows)]

    return _changed(answer, change)


async def _prices(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    what, symbol = fault.options["what"], fault.selects.get("symbol")

    def spoil(row: dict[str, Any]) -> dict[str, Any]:
        if symbol not in (None, row["symbol"]):
            return row
        return row | {"price": _times(row["price"], 1000) if what == "thousandfold" else BAD_PRICES[what]}

    return _changed(answer, lambda body: spoil(body) if isinstance(body, dict) else [*map(spoil, body)])


DATA: dict[str, Kind] = {
    "bad_klines": Kind(
        "klines are wrong: `what` is gap, duplicate, disorder, stale (the last ten are missing), empty, or "
        "nan, negative, zero, thousandfold in the last closed candle",
        (AFTER,),
        _klines,
        needs=("what",),
        suffix="/klines",
    ),
    "bad_prices": Kind(
        "ticker/price is wrong: `what` is nan, negative, zero or thousandfold",
        (AFTER,),
        _prices,
        needs=("what",),
        suffix="/ticker/price",
    ),
}
