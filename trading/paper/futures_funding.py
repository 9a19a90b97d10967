"""Funding: when it is paid and at which rate, as pure functions, and the rates that were set by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal

from trading.paper.futures_books import FuturesBooks

PERIOD_MS = 8 * 3_600_000  # 00, 08 and 16 o'clock UTC
INTEREST = Decimal("0.0001")
RateOf = Callable[[str, int], Decimal | None]


def next_funding_ms(after_ms: int) -> int:
    """The first funding time behind `after_ms`."""
    return (after_ms // PERIOD_MS + 1) * PERIOD_MS


def usual_rate(seed: int, symbol: str, at_ms: int) -> Decimal:
    """The rate of one funding time: 0.01 % or -0.01 %, a pure function of its arguments."""
    digest = hashlib.sha256(f"{seed}:{symbol}:{at_ms // PERIOD_MS}".encode()).digest()
    return INTEREST if digest[0] < 128 else -INTEREST


class FundingRates:
    """The rate of any contract at any funding time: as set by hand, else as followed, else the usual one."""

    def __init__(self, books: FuturesBooks, seed: int, followed: RateOf | None = None) -> None:
        self._books = books
        self._seed = seed
        self._followed = followed
        self._set = books.rates()

    def rate(self, symbol: str, at_ms: int) -> Decimal:
        """The share of its notional that a long pays (a short receives) at the funding time `at_ms`."""
        chosen: Decimal | None = None
        for from_ms, rate in self._set.get(symbol, []):
            if from_ms <= at_ms:
                chosen = rate
        if chosen is None and self._followed is not None:
            chosen = self._followed(symbol, at_ms)
        return usual_rate(self._seed, symbol, at_ms) if chosen is None else chosen

    def set_rate(self, symbol: str, rate: Decimal | None, now_ms: int) -> None:
        """From now on this rate, or the usual ones again."""
        rows = [row for row in self._set.get(symbol, []) if row[0] != now_ms]
        self._set[symbol] = sorted([*rows, (now_ms, rate)], key=lambda row: row[0])
        with self._books.transaction():
            self._books.save_rate(symbol, now_ms, rate)
