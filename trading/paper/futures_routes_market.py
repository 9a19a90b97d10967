"""Public endpoints of USDT-M futures: contracts, candles, prices, mark prices and funding rates."""

from __future__ import annotations

from collections.abc import Awaitable
from itertools import islice
from typing import Any

from trading.paper.errors import ApiError, invalid_symbol
from trading.paper.futures_contracts import Contract
from trading.paper.futures_funding import INTEREST, PERIOD_MS, next_funding_ms
from trading.paper.orders import number
from trading.paper.params import Params
from trading.paper.routes_market import KLINES_PARAMS, klines_of, one_or_all, ping, rate_limit, server_time
from trading.paper.routing import Call, Route

MOST_RATES = 1000
DEFAULT_RATES = 100


def contract_of(call: Call, name: str = "symbol") -> Contract:
    """The contract that the request names. Raises -1102, -1100 or -1121."""
    contract = call.contracts.get(call.params.symbol(name))
    if contract is None:
        raise invalid_symbol()
    return contract


def _chosen(call: Call) -> list[Contract]:
    if "symbol" in call.params:
        return [contract_of(call)]
    return list(call.contracts.values())


def _shape(call: Call, found: list[dict[str, Any]]) -> Any:
    """One object for `symbol`, a list otherwise."""
    if "symbol" not in call.params:
        return found
    if not found:
        raise invalid_symbol()
    return found[0]


def exchange_info(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/exchangeInfo. It has no parameters."""
    exchange = call.exchange
    state, counts = exchange.futures.state, exchange.futures.counts
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            rate_limit("REQUEST_WEIGHT", "MINUTE", 1, exchange.weights["futures"].limit),
            rate_limit("ORDERS", "MINUTE", 1, counts.per_day),
            rate_limit("ORDERS", "SECOND", 10, counts.per_ten_seconds),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [
            {**contract.info, "status": state.status(symbol)} for symbol, contract in call.contracts.items()
        ],
    }


def klines(call: Call) -> list[Any] | Awaitable[list[Any]]:
    """GET /fapi/v1/klines: at most 1500 candles; there is no 1s."""
    contract = contract_of(call)
    if call.params.peek("interval") == "1s":
        raise ApiError(-1120, "Invalid interval.")
    if call.exchange.live is not None:
        return call.exchange.live.klines("futures", call.params.sent(*KLINES_PARAMS))
    return klines_of(call, call.exchange.futures.state.market, contract.underlying, 1500)


def _klines_weight(params: Params) -> int:
    limit = params.peek("limit") or "500"
    count = int(limit) if limit.isascii() and limit.isdigit() else 500
    return 1 if count < 100 else 2 if count < 500 else 5 if count <= 1000 else 10


def ticker_price(call: Call) -> Any:
    """GET /fapi/v1/ticker/price and v2."""
    prices = call.exchange.futures.state.market.prices(call.now_ms)
    found = [
        {"symbol": one.symbol, "price": f"{prices[one.underlying]:.8f}", "time": call.now_ms}
        for one in _chosen(call)
        if one.underlying in prices
    ]
    return _shape(call, found)


def book_ticker(call: Call) -> Any:
    """GET /fapi/v1/ticker/bookTicker."""
    found = []
    for contract in _chosen(call):
        bids, asks = (_levels(call, contract, side, 1) for side in ("SELL", "BUY"))
        bid, ask = (bids or [["0", "0"]])[0], (asks or [["0", "0"]])[0]
        row = {"symbol": contract.symbol, "bidPrice": bid[0], "bidQty": bid[1]}
        found.append({**row, "askPrice": ask[0], "askQty": ask[1], "time": call.now_ms})
    return _shape(call, found)


def _levels(call: Call, contract: Contract, side: str, limit: int) -> list[list[str]]:
    """Levels that a taker of `side` meets."""
    state = call.exchange.futures.state
    price = state.last_price(contract, call.now_ms)
    if price is None or state.status(contract.symbol) != "TRADING":
        return []
    levels = state.book.levels(contract.spec, side, price, call.now_ms)
    return [[f"{level:f}", f"{quantity:f}"] for level, quantity in islice(levels, limit)]


def depth(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/depth: at most the 30 levels that there are."""
    contract, limit = contract_of(call), call.params.limit(500, 1000)
    return {
        "lastUpdateId": call.now_ms,
        "E": call.now_ms,
        "T": call.now_ms,
        "bids": _levels(call, contract, "SELL", limit),
        "asks": _levels(call, contract, "BUY", limit),
    }


def _depth_weight(params: Params) -> int:
    limit = params.peek("limit") or "500"
    count = int(limit) if limit.isascii() and limit.isdigit() else 500
    return 2 if count <= 50 else 5 if count <= 100 else 10 if count <= 500 else 20


def premium_index(call: Call) -> Any:
    """GET /fapi/v1/premiumIndex: the mark price, and the rate that the next funding will have."""
    futures, now_ms, found = call.exchange.futures, call.now_ms, []
    for contract in _chosen(call):
        mark = futures.state.mark_price(contract, now_ms)
        index = futures.state.last_price(contract, now_ms)
        if mark is None or index is None:
            continue
        at_ms = next_funding_ms(now_ms)
        rate = number(futures.rates.rate(contract.symbol, at_ms)) if contract.is_perpetual else ""
        found.append(
            {
                "symbol": contract.symbol,
                "markPrice": number(mark),
                "indexPrice": number(index),
                "estimatedSettlePrice": number(index),
                "lastFundingRate": rate,
                "interestRate": number(INTEREST) if contract.is_perpetual else "",
                "nextFundingTime": at_ms if contract.is_perpetual else 0,
                "time": now_ms,
            }
        )
    return _shape(call, found)


def funding_rate(call: Call) -> Any:
    """GET /fapi/v1/fundingRate: past rates, oldest first; the latest ones without startTime."""
    futures, params = call.exchange.futures, call.params
    if call.exchange.live is not None:
        asked = params.sent("symbol", "startTime", "endTime", "limit")
        return call.exchange.live.ask(_MARKET, "/fapi/v1/fundingRate", asked)
    contracts = [one for one in _chosen(call) if one.is_perpetual]
    start, end = params.integer("startTime"), params.integer("endTime")
    limit = params.limit(DEFAULT_RATES, MOST_RATES)
    until = call.now_ms if end is None else min(end, call.now_ms)
    count = max(1, limit // max(1, len(contracts)))
    last = until // PERIOD_MS
    first = last - count + 1 if start is None else -(-start // PERIOD_MS)
    found: list[dict[str, Any]] = []
    for at_ms in range(first * PERIOD_MS, min(last, first + count - 1) * PERIOD_MS + 1, PERIOD_MS):
        for contract in contracts:
            mark = futures.state.mark_price(contract, at_ms)
            if mark is not None:
                rate = number(futures.rates.rate(contract.symbol, at_ms))
                row = {"symbol": contract.symbol, "fundingTime": at_ms, "fundingRate": rate}
                found.append({**row, "markPrice": number(mark)})
    return found[:limit]


_MARKET = "futures"
ROUTES = (
    Route("GET", "/fapi/v1/ping", ping, 1, _MARKET),
    Route("GET", "/fapi/v1/time", server_time, 1, _MARKET),
    Route("GET", "/fapi/v1/exchangeInfo", exchange_info, 1, _MARKET),
    Route("GET", "/fapi/v1/klines", klines, _klines_weight, _MARKET),
    Route("GET", "/fapi/v1/premiumIndex", premium_index, one_or_all(1, 10), _MARKET, priced=True),
    Route("GET", "/fapi/v1/fundingRate", funding_rate, 1, _MARKET),
    Route("GET", "/fapi/v1/ticker/price", ticker_price, one_or_all(1, 2), _MARKET, priced=True),
    Route("GET", "/fapi/v2/ticker/price", ticker_price, one_or_all(1, 2), _MARKET, priced=True),
    Route("GET", "/fapi/v1/ticker/bookTicker", book_ticker, one_or_all(2, 5), _MARKET, priced=True),
    Route("GET", "/fapi/v1/depth", depth, _depth_weight, _MARKET, priced=True),
)
