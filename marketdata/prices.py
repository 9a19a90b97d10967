"""Last prices in Redis, one small value a symbol: read by screens and runs, written by the feed only."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from marketdata.candle_checks import CONFIRMATIONS, JUMP
from marketdata.redis_values import read_values
from marketdata.types import Price
from tradebot.clock import from_ms, to_ms
from tradebot.redis import redis_client

if TYPE_CHECKING:
    from tradebot.binance.sources import Source

KEEP_SECONDS = 86_400  # each price carries its age; readers judge it
_VALUE = struct.Struct("<4sdq")  # magic, price in quote units, ms since the epoch
_MAGIC = b"TBPR"


def load_many(source: Source, symbols: Iterable[str]) -> dict[str, Price]:
    """The last known prices, in one request to Redis; symbols without a sound one are left out.

    A price may be old: its `at` says from when it is.
    """
    wanted = list(dict.fromkeys(symbols))
    values = read_values([_key(source, symbol) for symbol in wanted])
    found = {}
    for symbol, value in zip(wanted, values, strict=True):
        price = _decoded(value)
        if price is not None:
            found[symbol] = price
    return found


def store(source: Source, prices: Mapping[str, float], at: datetime) -> None:
    """Write the prices, in one request to Redis; those that are not finite and above 0 are left out."""
    pipeline = redis_client().pipeline(transaction=False)
    for symbol, price in prices.items():
        if math.isfinite(price) and price > 0:
            value = _VALUE.pack(_MAGIC, price, to_ms(at))
            pipeline.set(_key(source, symbol), value, ex=KEEP_SECONDS)
    pipeline.execute()


@dataclass(slots=True)
class PriceGate:
    """Lets prices through, but one that jumped by more than JUMP only once it was repeated twice. Pure."""

    accepted: dict[str, float] = field(default_factory=dict)
    doubts: dict[str, tuple[float, int]] = field(default_factory=dict)  # price and how often it was seen

    def sift(self, answer: Mapping[str, str], symbols: Iterable[str]) -> dict[str, float]:
        """The believable prices of `symbols` in the exchange's answer, and remember what was not."""
        passed = {}
        for symbol in symbols:
            price = _number(answer.get(symbol))
            if price is not None and self._believes(symbol, price):
                self.accepted[symbol] = passed[symbol] = price
                self.doubts.pop(symbol, None)
        return passed

    def _believes(self, symbol: str, price: float) -> bool:
        before = self.accepted.get(symbol)
        if before is None or not _is_jump(before, price):
            return True
        doubted, seen = self.doubts.get(symbol, (price, 0))
        seen = 1 if _is_jump(doubted, price) else seen + 1
        self.doubts[symbol] = (price, seen)
        return seen > CONFIRMATIONS


def _is_jump(before: float, price: float) -> bool:
    return price > before * JUMP or price * JUMP < before


def _number(text: str | None) -> float | None:
    try:
        price = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return price if math.isfinite(price) and price > 0 else None


def _decoded(value: bytes | None) -> Price | None:
    if value is None or len(value) != _VALUE.size:
        return None
    magic, price, at_ms = _VALUE.unpack(value)
    if magic != _MAGIC or not math.isfinite(price) or price <= 0 or not 0 < at_ms < 2**42:
        return None
    return Price(price, from_ms(at_ms))


def _key(source: Source, symbol: str) -> str:
    return f"price:{source.name}:{source.market}:{symbol}"
