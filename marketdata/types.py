"""Values of the market: candles, prices, symbols and their rules. Pure: no Django, no Redis, no network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candles:
    """Closed candles of one series, oldest first, without holes from `clean_since` on.

    All arrays have shape (n,). `open_time_ms` is the exchange's open time; prices are in quote units.
    `clean_since` is the index of the first candle behind the last hole that is real (0: none).
    """

    interval_ms: int
    open_time_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    clean_since: int = 0

    def __len__(self) -> int:
        return int(self.open_time_ms.shape[0])


@dataclass(frozen=True, slots=True)
class Price:
    """A last traded price in quote units, and when it was asked for."""

    price: float
    at: datetime


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """What the exchange allows for one symbol. A zero or missing filter is None: the rule is off.

    Sizes are in base units, prices and notionals in quote units (binance-spot-api-docs, filters.md).
    """

    symbol: str
    base: str
    quote: str
    status: str  # TRADING, HALT, BREAK ...
    lot_step: Decimal  # the step that quantities for MARKET orders must have: lcm of both lot filters
    min_quantity: Decimal
    max_quantity: Decimal | None  # the smaller of LOT_SIZE and MARKET_LOT_SIZE
    tick: Decimal | None
    min_price: Decimal | None
    max_price: Decimal | None
    min_notional: Decimal | None
    max_notional: Decimal | None
    min_notional_applies_to_market: bool = True
    max_notional_applies_to_market: bool = False
    order_types: tuple[str, ...] = ()

    @property
    def is_trading(self) -> bool:
        """Whether the symbol takes orders now, as far as the cache knows."""
        return self.status == "TRADING"
