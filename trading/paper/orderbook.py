"""The other side of every trade: levels around the last price, a pure function of symbol and time."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from trading.paper.symbols import SymbolSpec

_MASK = 2**64 - 1
LEVELS = 30


def _chance(*parts: int) -> float:
    """A number in [0, 1) that depends on the parts only."""
    value = 0
    for part in parts:
        value = ((value ^ part) + 0x9E3779B97F4A7C15) & _MASK
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
        value ^= value >> 31
    return (value >> 11) / 2.0**53


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `value`."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not below `value`."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


class OrderBook:
    """Levels that nobody's order uses up: each order meets the book anew.

    `spread_bps` is the distance between best bid and best ask in 1/10,000 of the price; levels are half of
    that apart, at least one tick. Level i holds about `level_quote` x (1 + i) quote units (1/20,000 of that
    where the quote is BTC or ETH).
    """

    def __init__(self, spread_bps: Decimal = Decimal(1), level_quote: Decimal = Decimal(2000)) -> None:
        self.half_spread = spread_bps / 20_000
        self.level_quote = level_quote
        self.by_symbol: dict[str, Decimal] = {}  # level_quote set for single symbols
        self.empty: set[str] = set()  # symbols without any level, "*" for all

    def best(self, spec: SymbolSpec, price: Decimal) -> tuple[Decimal, Decimal]:
        """Best bid and best ask around the last price."""
        tick = spec.tick
        bid = max(tick, floor_to(price * (1 - self.half_spread), tick))
        ask = ceil_to(price * (1 + self.half_spread), tick)
        if tick > price * self.half_spread * 2:  # a coarse tick: one tick between them
            bid, ask = floor_to(price, tick), floor_to(price, tick) + tick
        return bid, ask

    def levels(
        self, spec: SymbolSpec, taker_side: str, price: Decimal, at_ms: int
    ) -> Iterator[tuple[Decimal, Decimal]]:
        """(price, quantity) of the levels that a taker of this side meets, the best one first."""
        if self.empty and not self.empty.isdisjoint((spec.symbol, "*")):
            return
        bid, ask = self.best(spec, price)
        step = max(spec.tick, floor_to(price * self.half_spread, spec.tick))
        first, sign = (ask, 1) if taker_side == "BUY" else (bid, -1)
        quote = self.by_symbol.get(spec.symbol, self.level_quote)
        if spec.quote in ("BTC", "ETH"):
            quote /= 20_000
        for place in range(LEVELS):
            level = first + sign * place * step
            if level <= 0:
                return
            share = Decimal(0.25 + 1.5 * _chance(hash_of(spec.symbol), at_ms // 1000, place, sign))
            quantity = floor_to(quote * (1 + place) * share / level, spec.lot)
            yield level, max(spec.lot, quantity)


def hash_of(symbol: str) -> int:
    """A number for a symbol that is the same in every process (the built-in hash is not)."""
    return int.from_bytes(symbol.encode()[:8], "little")
