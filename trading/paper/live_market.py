"""A market whose prices were polled from somewhere else, and the listing that comes with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from trading.paper.futures_contracts import Contract, brackets_for
from trading.paper.klines import MINUTE_MS, NO_BARS
from trading.paper.market import Bars, FloatArray, IntArray, Touch
from trading.paper.symbols import SymbolSpec

KEPT_POLLS = 120
FINEST_DECIMALS = 8


class LiveRefused(ValueError):
    """Raised when the source of live prices cannot be used; the text says why."""


@dataclass(slots=True)
class Listing:
    """What a source lists: spot symbols and USDT-M contracts."""

    specs: dict[str, SymbolSpec] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)


class LiveMarket:
    """Implements Market for polled prices: between two polls the price of the first one stands.

    It knows the last few minutes only; the engines look at every poll. There are no candles here, they are
    the source's.
    """

    def __init__(self, specs: dict[str, SymbolSpec]) -> None:
        self.specs = specs
        self._polls: deque[tuple[int, Mapping[str, float]]] = deque(maxlen=KEPT_POLLS)

    @property
    def polled_ms(self) -> int:
        """When the last poll was answered, 0 before the first one."""
        return self._polls[-1][0] if self._polls else 0

    def add(self, at_ms: int, prices: Mapping[str, float]) -> None:
        """The prices of one poll."""
        if at_ms >= self.polled_ms:  # a clock that was set back starts anew
            self._polls.append((at_ms, prices))
        else:
            self._polls = deque([(at_ms, prices)], maxlen=KEPT_POLLS)

    def base_ms(self, symbol: str) -> int:
        """One minute."""
        return MINUTE_MS

    def first_ms(self, symbol: str) -> int:
        """See Market."""
        return self._polls[0][0] if self._polls else 0

    def bars(self, symbol: str, start_ms: int, end_ms: int) -> Bars:
        """None: see `live.Live.klines`."""
        return NO_BARS

    def points(self, symbol: str, open_ms: int) -> tuple[IntArray, FloatArray] | None:
        """None."""
        return None

    def _at(self, at_ms: int) -> Mapping[str, float]:
        """The last poll that is not behind `at_ms`, the oldest one known for what is further back."""
        for polled_ms, prices in reversed(self._polls):
            if polled_ms <= at_ms:
                return prices
        return self._polls[0][1] if self._polls else {}

    def price(self, symbol: str, at_ms: int) -> float | None:
        """See Market. The last known price, however old: `live.Live.is_stale` says whether it counts."""
        return self._at(at_ms).get(symbol)

    def prices(self, at_ms: int) -> dict[str, float]:
        """See Market."""
        return {symbol: price for symbol, price in self._at(at_ms).items() if symbol in self.specs}

    def first_touch(self, symbol: str, from_ms: int, until_ms: int, down: float, up: float) -> Touch | None:
        """See Market: the price at `from`, then those of the polls until `until`."""
        rows = [(from_ms, self._at(from_ms))]
        rows += [(at_ms, prices) for at_ms, prices in self._polls if from_ms < at_ms <= until_ms]
        for at_ms, prices in rows:
            price = prices.get(symbol)
            if price is not None and (price <= down or price >= up):
                return Touch(at_ms, price)
        return None


def _decimals(step: Any) -> int:
    """The decimals of a step like 0.00100000; many for a step of zero, which is none."""
    value = Decimal(str(step))
    if not value:
        return FINEST_DECIMALS
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else FINEST_DECIMALS


def _spec(row: Mapping[str, Any], status: str) -> SymbolSpec:
    filters = {one["filterType"]: one for one in row["filters"]}
    return SymbolSpec(
        symbol=row["symbol"],
        base=row["baseAsset"],
        quote=row["quoteAsset"],
        start_price=1.0,
        price_decimals=_decimals(filters["PRICE_FILTER"]["tickSize"]),
        lot_decimals=_decimals(filters["LOT_SIZE"]["stepSize"]),
        status=status,
        order_types=tuple(row["orderTypes"]),
        filters=filters,
        oto_allowed=bool(row.get("otoAllowed", False)),
        opo_allowed=bool(row.get("opoAllowed", False)),
    )


def spot_listing(info: Mapping[str, Any]) -> dict[str, SymbolSpec]:
    """The symbols of GET /api/v3/exchangeInfo. Raises LiveRefused for something else."""
    try:
        return {row["symbol"]: _spec(row, row["status"]) for row in info["symbols"]}
    except (KeyError, TypeError, ArithmeticError) as error:
        raise LiveRefused(f"the source's exchangeInfo cannot be read ({error!r})") from error


def futures_listing(info: Mapping[str, Any]) -> dict[str, Contract]:
    """The USDT contracts of GET /fapi/v1/exchangeInfo. Their brackets are this exchange's own.

    (The source shows its brackets to signed requests only.) Raises LiveRefused for something else.
    """
    try:
        return {
            row["symbol"]: Contract(
                _spec(row, row["status"]),
                row["symbol"],
                row["contractType"],
                {name: value for name, value in row.items() if name != "status"},
                brackets_for(row["baseAsset"]),
            )
            for row in info["symbols"]
            if row["quoteAsset"] == "USDT"
        }
    except (KeyError, TypeError, ArithmeticError) as error:
        raise LiveRefused(f"the source's futures exchangeInfo cannot be read ({error!r})") from error
