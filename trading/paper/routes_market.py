"""Public endpoints of spot: time, symbols, candles and prices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from decimal import Decimal
from itertools import islice
from typing import Any

from trading.paper.errors import ApiError, invalid_symbol
from trading.paper.klines import interval_of, klines, rows
from trading.paper.market import Market
from trading.paper.orders import number
from trading.paper.params import Params
from trading.paper.routing import Call, Route
from trading.paper.symbols import SymbolSpec, spot_info

DAY_MS = 86_400_000
LONG_SPAN_MS = 60_000 * 60_000  # more minutes than this are computed beside the event loop
KLINES_PARAMS = ("symbol", "interval", "startTime", "endTime", "limit", "timeZone")
STATUSES = ("TRADING", "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY")


def spec_of(call: Call, name: str = "symbol") -> SymbolSpec:
    """The symbol that the request names. Raises -1102, -1100 or -1121."""
    spec = call.specs.get(call.params.symbol(name))
    if spec is None:
        raise invalid_symbol()
    return spec


def ping(call: Call) -> dict[str, Any]:
    """GET ping."""
    return {}


def server_time(call: Call) -> dict[str, Any]:
    """GET time."""
    return {"serverTime": call.now_ms}


def exchange_info(call: Call) -> dict[str, Any]:
    """GET /api/v3/exchangeInfo."""
    exchange, params = call.exchange, call.params
    one, several = params.text("symbol"), params.names("symbols")
    status = params.choice("symbolStatus", STATUSES, ApiError(-1122, "Invalid symbolStatus."))
    permissions = params.text("permissions")
    shows_sets = params.boolean("showPermissionSets", True)
    if (one is not None and several is not None) or (status and (one or several)):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    wanted = [one] if one is not None else several
    specs = call.specs
    if wanted is None:
        chosen = list(specs.values())
        if permissions is not None and "SPOT" not in permissions:
            chosen = []
    elif all(name in specs for name in wanted):
        chosen = [specs[name] for name in wanted]
    else:
        raise invalid_symbol()
    shown = [(spec, exchange.engine.status(spec.symbol)) for spec in chosen]
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "rateLimits": [
            rate_limit("REQUEST_WEIGHT", "MINUTE", 1, exchange.weights["spot"].limit),
            rate_limit("ORDERS", "SECOND", 10, exchange.counts.per_ten_seconds),
            rate_limit("ORDERS", "DAY", 1, exchange.counts.per_day),
            rate_limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ],
        "exchangeFilters": [],
        "symbols": [
            spot_info(spec, state, permission_sets=shows_sets)
            for spec, state in shown
            if status in (None, state)
        ],
    }


def rate_limit(kind: str, interval: str, number_of: int, limit: int) -> dict[str, Any]:
    """A row of rateLimits."""
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number_of, "limit": limit}


def klines_of(call: Call, market: Market, symbol: str, largest: int) -> list[Any] | Awaitable[list[Any]]:
    """The rows of a klines request for a symbol of `market`."""
    params = call.params
    interval = interval_of(params.needed("interval"))
    if interval is None or (
        interval.name != "1M" and interval.name != "1s" and interval.longest_ms < market.base_ms(symbol)
    ):
        raise ApiError(-1120, "Invalid interval.")
    start, end = params.integer("startTime"), params.integer("endTime")
    limit = params.limit(500, largest)
    params.text("timeZone")

    def work() -> list[Any]:
        found = klines(
            market,
            symbol,
            interval,
            call.now_ms,
            start_ms=start,
            end_ms=end,
            limit=limit,
        )
        return rows(found, interval)

    if limit * interval.longest_ms > LONG_SPAN_MS:
        return asyncio.to_thread(work)
    return work()


def spot_klines(call: Call) -> list[Any] | Awaitable[list[Any]]:
    """GET /api/v3/klines: at most 1000 candles, the open one last."""
    if call.exchange.live is not None:
        return call.exchange.live.klines("spot", call.params.sent(*KLINES_PARAMS))
    spec = spec_of(call)
    return klines_of(call, call.exchange.market, spec.symbol, 1000)


def _chosen(call: Call) -> list[SymbolSpec]:
    """The symbols of `symbol` or `symbols`; all of them when neither was sent."""
    if "symbol" in call.params and "symbols" in call.params:
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    if "symbol" in call.params:
        return [spec_of(call)]
    specs = call.specs
    names = call.params.names("symbols")
    if names is None:
        return list(specs.values())
    if not all(name in specs for name in names):
        raise invalid_symbol()
    return [specs[name] for name in names]


def _shape(call: Call, found: list[dict[str, Any]]) -> Any:
    """One object for `symbol`, a list otherwise."""
    if "symbol" not in call.params:
        return found
    if not found:
        raise ApiError(-1121, "Invalid symbol.")
    return found[0]


def ticker_price(call: Call) -> Any:
    """GET ticker/price."""
    specs = _chosen(call)
    market = call.exchange.market
    if len(specs) == 1:
        price = market.price(specs[0].symbol, call.now_ms)
        prices = {} if price is None else {specs[0].symbol: price}
    else:
        prices = market.prices(call.now_ms)
    found = [
        {"symbol": spec.symbol, "price": f"{prices[spec.symbol]:.8f}"}
        for spec in specs
        if spec.symbol in prices
    ]
    return _shape(call, found)


def _book(call: Call, spec: SymbolSpec, side: str, limit: int) -> list[list[str]]:
    """Levels that a taker of `side` meets."""
    price = call.exchange.engine.last_price(spec.symbol, call.now_ms)
    if price is None or call.exchange.engine.status(spec.symbol) != "TRADING":
        return []
    levels = call.exchange.engine.book.levels(spec, side, price, call.now_ms)
    return [[number(level), number(quantity)] for level, quantity in islice(levels, limit)]


def book_ticker(call: Call) -> Any:
    """GET ticker/bookTicker."""
    found = []
    for spec in _chosen(call):
        empty = [[number(Decimal(0)), number(Decimal(0))]]
        bid = (_book(call, spec, "SELL", 1) or empty)[0]
        ask = (_book(call, spec, "BUY", 1) or empty)[0]
        row = {"symbol": spec.symbol, "bidPrice": bid[0], "bidQty": bid[1]}
        found.append({**row, "askPrice": ask[0], "askQty": ask[1]})
    return _shape(call, found)


def depth(call: Call) -> dict[str, Any]:
    """GET depth: at most the 30 levels that there are."""
    spec, limit = spec_of(call), call.params.limit(100, 5000)
    call.params.text("symbolStatus")
    return {
        "lastUpdateId": call.now_ms,
        "bids": _book(call, spec, "SELL", limit),
        "asks": _book(call, spec, "BUY", limit),
    }


def average_price(call: Call) -> dict[str, Any]:
    """GET avgPrice."""
    spec = spec_of(call)
    price = call.exchange.engine.average_price(spec.symbol, call.now_ms)
    return {"mins": 5, "price": number(price), "closeTime": call.now_ms}


def ticker_day(call: Call) -> Any:
    """GET ticker/24hr, from the last 24 hours' candles."""
    call.params.choice("type", ("FULL", "MINI"), ApiError(-1139, "Invalid ticker type."))
    specs = _chosen(call)
    if call.exchange.live is not None:
        asked = call.params.sent("symbol", "symbols", "type")
        return call.exchange.live.ask("spot", "/api/v3/ticker/24hr", asked)

    def work() -> Any:
        return _shape(call, [row for spec in specs if (row := _day_row(call, spec))])

    return asyncio.to_thread(work) if len(specs) > 10 else work()


def _day_row(call: Call, spec: SymbolSpec) -> dict[str, Any] | None:
    market, now_ms = call.exchange.market, call.now_ms
    interval = interval_of("1m") if market.base_ms(spec.symbol) == 60_000 else interval_of("1h")
    assert interval is not None
    bars = klines(market, spec.symbol, interval, now_ms, end_ms=now_ms, limit=1440)
    if len(bars) == 0:
        return None
    first, last = float(bars.open[0]), float(bars.close[-1])
    volume, worth = float(bars.volume.sum()), float((bars.volume * bars.close).sum())
    bid = (_book(call, spec, "SELL", 1) or [["0.00000000", "0.00000000"]])[0]
    ask = (_book(call, spec, "BUY", 1) or [["0.00000000", "0.00000000"]])[0]
    return {
        "symbol": spec.symbol,
        "priceChange": f"{last - first:.8f}",
        "priceChangePercent": f"{(last / first - 1) * 100:.3f}",
        "weightedAvgPrice": f"{worth / volume if volume else last:.8f}",
        "prevClosePrice": f"{first:.8f}",
        "lastPrice": f"{last:.8f}",
        "lastQty": number(spec.lot),
        "bidPrice": bid[0],
        "bidQty": bid[1],
        "askPrice": ask[0],
        "askQty": ask[1],
        "openPrice": f"{first:.8f}",
        "highPrice": f"{float(bars.high.max()):.8f}",
        "lowPrice": f"{float(bars.low.min()):.8f}",
        "volume": f"{volume:.8f}",
        "quoteVolume": f"{worth:.8f}",
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": 1,
        "lastId": 1 + len(bars),
        "count": len(bars),
    }


def one_or_all(one: int, several: int) -> Any:
    """A weight that depends on whether one symbol was asked for."""
    return lambda params: one if "symbol" in params else several


def _symbols_ticker_weight(params: Params) -> int:
    """ticker/24hr: 2 for one symbol, up to 80 for all (rest-api.md)."""
    if "symbol" in params:
        return 2
    named = params.peek("symbols")
    count = 101 if named is None else named.count(",") + 1
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _depth_weight(params: Params) -> int:
    limit = params.peek("limit") or "100"
    count = int(limit) if limit.isascii() and limit.isdigit() else 100
    return 5 if count <= 100 else 25 if count <= 500 else 50 if count <= 1000 else 250


ROUTES = (
    Route("GET", "/api/v3/ping", ping, 1),
    Route("GET", "/api/v3/time", server_time, 1),
    Route("GET", "/api/v3/exchangeInfo", exchange_info, 20),
    Route("GET", "/api/v3/klines", spot_klines, 2),
    Route("GET", "/api/v3/ticker/price", ticker_price, one_or_all(2, 4), priced=True),
    Route("GET", "/api/v3/ticker/bookTicker", book_ticker, one_or_all(2, 4), priced=True),
    Route("GET", "/api/v3/ticker/24hr", ticker_day, _symbols_ticker_weight),
    Route("GET", "/api/v3/avgPrice", average_price, 2, priced=True),
    Route("GET", "/api/v3/depth", depth, _depth_weight, priced=True),
)
