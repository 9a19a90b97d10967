"""Prices set by hand over a market: for tests that need a jump. Kept in memory only, gone with a restart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading.paper.market import Bars, FloatArray, IntArray, Market, Touch

FOREVER_MS = 2**62


@dataclass(slots=True)
class Override:
    """One symbol's price stands at `price` from `start_ms` until before `end_ms`."""

    start_ms: int
    end_ms: int
    price: float


class OverlayMarket:
    """Implements Market: what lies below it, but for the times with a price set by hand.

    Candles that such a time falls into reach to the set price; their path below is otherwise kept.
    """

    def __init__(self, below: Market) -> None:
        self.below = below
        self.specs = below.specs
        self._overrides: dict[str, list[Override]] = {}

    def set_price(self, symbol: str, price: float, now_ms: int) -> None:
        """From `now_ms` on the symbol trades at `price`, until the next call or `clear_price`."""
        self.clear_price(symbol, now_ms)
        self._overrides.setdefault(symbol, []).append(Override(now_ms, FOREVER_MS, price))

    def clear_price(self, symbol: str, now_ms: int) -> None:
        """From `now_ms` on the symbol follows the market again."""
        for override in self._overrides.get(symbol, []):
            override.end_ms = min(override.end_ms, now_ms)

    def base_ms(self, symbol: str) -> int:
        """See Market."""
        return self.below.base_ms(symbol)

    def first_ms(self, symbol: str) -> int:
        """See Market."""
        return self.below.first_ms(symbol)

    def bars(self, symbol: str, start_ms: int, end_ms: int) -> Bars:
        """See Market."""
        bars = self.below.bars(symbol, start_ms, end_ms)
        if symbol not in self._overrides or len(bars) == 0:
            return bars
        base = self.base_ms(symbol)
        opens, highs = bars.open.copy(), bars.high.copy()
        lows, closes = bars.low.copy(), bars.close.copy()
        for one in self._overrides[symbol]:
            ends = bars.open_ms + base
            inside = (bars.open_ms < one.end_ms) & (ends > one.start_ms)
            whole = (bars.open_ms >= one.start_ms) & (ends <= one.end_ms)
            highs[inside] = np.where(whole[inside], one.price, np.maximum(highs[inside], one.price))
            lows[inside] = np.where(whole[inside], one.price, np.minimum(lows[inside], one.price))
            opens[inside & (bars.open_ms >= one.start_ms)] = one.price
            closes[inside & (ends <= one.end_ms)] = one.price
        return Bars(bars.open_ms, opens, highs, lows, closes, bars.volume)

    def points(self, symbol: str, open_ms: int) -> tuple[IntArray, FloatArray] | None:
        """See Market: the knots that lie in a set time have its price."""
        path = self.below.points(symbol, open_ms)
        if path is None or symbol not in self._overrides:
            return path
        times, prices = path[0], path[1].copy()
        for one in self._overrides[symbol]:
            prices[(times >= one.start_ms) & (times < one.end_ms)] = one.price
        return times, prices

    def price(self, symbol: str, at_ms: int) -> float | None:
        """See Market."""
        for one in reversed(self._overrides.get(symbol, [])):
            if one.start_ms <= at_ms < one.end_ms:
                return one.price
        return self.below.price(symbol, at_ms)

    def prices(self, at_ms: int) -> dict[str, float]:
        """See Market."""
        found = self.below.prices(at_ms)
        for symbol in self._overrides:
            price = self.price(symbol, at_ms)
            if price is not None:
                found[symbol] = price
        return found

    def first_touch(self, symbol: str, from_ms: int, until_ms: int, down: float, up: float) -> Touch | None:
        """See Market: the times with a set price and those without one are looked at one after the other."""
        at = from_ms
        for one in sorted(self._overrides.get(symbol, []), key=lambda one: one.start_ms):
            if one.end_ms <= max(at, one.start_ms):
                continue
            if at < one.start_ms <= until_ms:
                touch = self.below.first_touch(symbol, at, one.start_ms - 1, down, up)
                if touch is not None:
                    return touch
            at = max(at, one.start_ms)
            if at > until_ms:
                return None
            if one.price <= down or one.price >= up:
                return Touch(at, one.price)
            at = one.end_ms
            if at > until_ms:
                return None
        return self.below.first_touch(symbol, at, until_ms, down, up)
