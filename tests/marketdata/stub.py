"""An exchange in memory with the methods of the exchange client that market data use."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from marketdata.intervals import following_open_ms, open_of_ms
from tradebot.binance.sources import Source
from tradebot.clock import to_ms

SPOT = Source("paper", "spot", "http://127.0.0.1:1", "http://127.0.0.1:1")
LIVE = Source("live", "spot", "live", "https://api.binance.com")
NOON = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)


def row(open_ms: int, close: float = 100.0, interval: str = "1m", **changes: Any) -> list[Any]:
    """A kline row as Binance sends it; `changes` replaces o, h, l, c, v or T (close time)."""
    values = {"o": close, "h": close * 1.01, "l": close * 0.99, "c": close, "v": 5.0, **changes}
    texts = [value if isinstance(value, str) else f"{value:.8f}" for value in map(values.get, "ohlcv")]
    close_ms = changes.get("T", following_open_ms(open_ms, interval) - 1)
    return [open_ms, *texts, close_ms, "500.0", 12, "2.5", "250.0", "0"]


def rows_before(moment: datetime, count: int, interval: str = "1m") -> list[list[Any]]:
    """`count` fixed-length candles, the last one closing at `moment`; closes are 100, 101 ... 119, 100 ..."""
    end_ms = to_ms(moment)
    length = following_open_ms(0, interval)
    times = [end_ms - (count - at) * length for at in range(count)]
    return [row(ms, 100.0 + ms // length % 20, interval) for ms in times]


@dataclass
class StubExchange:
    """Holds kline rows by (symbol, interval); answers like Binance: by time, limited, with the open candle.

    `error` is raised instead of an answer. `asked` records each klines request's options.
    """

    now: datetime = NOON
    klines_of: dict[tuple[str, str], list[list[Any]]] = field(default_factory=dict)
    prices_now: dict[str, str] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    price_requests: int = 0

    def now_ms(self) -> int:
        """The exchange's time."""
        return to_ms(self.now)

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
    ) -> list[list[Any]]:
        """Rows from start on, or the last ones up to end, none of the future, the open candle last."""
        self.asked.append(
            {"symbol": symbol, "interval": interval, "start_ms": start_ms, "end_ms": end_ms, "limit": limit}
        )
        if self.error is not None:
            raise self.error
        rows = list(self.klines_of.get((symbol, interval), []))
        if rows and following_open_ms(rows[-1][0], interval) == open_of_ms(self.now_ms(), interval):
            rows.append(row(following_open_ms(rows[-1][0], interval), float(rows[-1][4]), interval))
        held = [
            one
            for one in rows
            if open_of_ms(one[0], interval) <= self.now_ms()
            and (start_ms is None or one[0] >= start_ms)
            and (end_ms is None or one[0] <= end_ms)
        ]
        return held[:limit] if start_ms is not None else held[-limit:]

    def prices(self) -> dict[str, str]:
        """All prices."""
        self.price_requests += 1
        if self.error is not None:
            raise self.error
        return dict(self.prices_now)

    def exchange_info(self) -> dict[str, Any]:
        """The exchangeInfo answer."""
        if self.error is not None:
            raise self.error
        return self.info


def spot_symbol(symbol: str = "BTCUSDT", base: str = "BTC", **changes: Any) -> dict[str, Any]:
    """A symbol row of today's spot exchangeInfo, with NOTIONAL and PERCENT_PRICE_BY_SIDE."""
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.0", "maxQty": "112.5", "stepSize": "0.00000000"},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "filters": filters,
        **changes,
    }


def with_filter(symbol_row: dict[str, Any], filter_type: str, **fields: Any) -> dict[str, Any]:
    """The row with one filter replaced, or added; without fields the filter is taken away."""
    kept = [one for one in symbol_row["filters"] if one["filterType"] != filter_type]
    added = [{"filterType": filter_type, **fields}] if fields else []
    return {**symbol_row, "filters": kept + added}
