"""Signed futures endpoints of the account: settings, positions, balances, income, limits, listen keys."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from trading.paper.errors import ApiError, missing
from trading.paper.futures_contracts import Contract
from trading.paper.futures_errors import refused
from trading.paper.futures_orders import CROSSED, ISOLATED, Position, income_json, plain
from trading.paper.futures_routes_market import contract_of
from trading.paper.futures_state import Margin
from trading.paper.orders import ZERO, number
from trading.paper.routing import Call, Route

INCOME_DAYS_MS = 7 * 86_400_000
DONE = {"code": 200, "msg": "success"}


# -- settings


def set_leverage(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/leverage."""
    contract, leverage = contract_of(call), call.params.integer("leverage")
    if leverage is None:
        raise missing("leverage")
    position = call.exchange.futures.set_leverage(call.account, contract, leverage, call.now_ms)
    return {
        "symbol": contract.symbol,
        "leverage": position.leverage,
        "maxNotionalValue": plain(contract.most_notional(position.leverage)),
    }


def set_margin_type(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/marginType."""
    contract = contract_of(call)
    call.params.needed("marginType")
    error = ApiError(-1130, "Data sent for parameter 'marginType' is not valid.")
    kind = call.params.choice("marginType", (ISOLATED, CROSSED), error)
    assert kind is not None
    call.exchange.futures.set_margin_type(call.account, contract, kind, call.now_ms)
    return dict(DONE)


def get_dual(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/positionSide/dual."""
    return {"dualSidePosition": call.exchange.futures.books.wallets[call.account.id].is_dual}


def set_dual(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/positionSide/dual. In hedge mode no order is taken: this exchange trades one-way."""
    call.params.needed("dualSidePosition")
    wanted = call.params.boolean("dualSidePosition", False)
    call.exchange.futures.set_dual(call.account, wanted, call.now_ms)
    return dict(DONE)


def symbol_config(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/symbolConfig: margin type and leverage of one contract, or of all."""
    contracts = call.contracts
    chosen = [contract_of(call)] if "symbol" in call.params else list(contracts.values())
    positions = [(one, call.exchange.futures.ledger.position(call.account.id, one)) for one in chosen]
    return [
        {
            "symbol": contract.symbol,
            "marginType": position.margin_type,
            "isAutoAddMargin": False,
            "leverage": position.leverage,
            "maxNotionalValue": plain(contract.most_notional(position.leverage)),
        }
        for contract, position in positions
    ]


def account_config(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/accountConfig."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": False,
        "canWithdraw": False,
        **get_dual(call),
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


# -- positions and money


def _numbers(call: Call, contract: Contract, position: Position) -> dict[str, Decimal]:
    """The figures of a position at the mark price."""
    state, now_ms = call.exchange.futures.state, call.now_ms
    mark = state.mark_of(position, now_ms)
    notional = position.quantity * mark
    profit = position.profit(mark)
    margin, sides = abs(notional) / position.leverage, state.sides(position)
    orders = sides.margin(position.leverage)
    return {
        "entryPrice": position.entry_price,
        "markPrice": mark,
        "unRealizedProfit": profit,
        "liquidationPrice": state.liquidation_price(position, now_ms),
        "isolatedMargin": position.isolated_wallet + profit if position.is_isolated else ZERO,
        "isolatedWallet": position.isolated_wallet,
        "notional": notional,
        "initialMargin": margin + orders,
        "maintMargin": contract.maintenance(abs(notional)),
        "positionInitialMargin": margin,
        "openOrderInitialMargin": orders,
        "bidNotional": sides.buy_notional,
        "askNotional": sides.sell_notional,
    }


def _positions(call: Call, *, everything: bool) -> list[tuple[Contract, Position]]:
    """The contracts asked for: all, or only those with a position or open orders."""
    futures, account_id = call.exchange.futures, call.account.id
    contracts = call.contracts
    chosen = [contract_of(call)] if "symbol" in call.params else list(contracts.values())
    futures.advance_all(call.now_ms)
    found = [(one, futures.ledger.position(account_id, one)) for one in chosen]
    if everything:
        return found
    books = futures.books
    return [
        (one, position)
        for one, position in found
        if position.quantity or books.open_orders(account_id, one.symbol)
    ]


def position_risk_v3(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v3/positionRisk: without leverage and margin type (symbolConfig has them)."""
    found = []
    for contract, position in _positions(call, everything=False):
        figures = {name: number(value) for name, value in _numbers(call, contract, position).items()}
        row = {"symbol": contract.symbol, "positionSide": "BOTH", "positionAmt": plain(position.quantity)}
        more = {"breakEvenPrice": figures["entryPrice"], "marginAsset": "USDT", "adl": 1}
        found.append({**row, **figures, **more, "updateTime": position.update_ms})
    return found


def position_risk_v2(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v2/positionRisk: every contract, with leverage and margin type."""
    names = ("entryPrice", "markPrice", "unRealizedProfit", "liquidationPrice", "isolatedMargin")
    found = []
    for contract, position in _positions(call, everything=True):
        figures = {name: number(value) for name, value in _numbers(call, contract, position).items()}
        found.append(
            {
                "symbol": contract.symbol,
                "positionAmt": plain(position.quantity),
                **{name: figures[name] for name in (*names, "notional", "isolatedWallet")},
                "breakEvenPrice": figures["entryPrice"],
                "leverage": str(position.leverage),
                "maxNotionalValue": plain(contract.most_notional(position.leverage)),
                "marginType": "isolated" if position.is_isolated else "cross",
                "isAutoAddMargin": "false",
                "positionSide": "BOTH",
                "updateTime": position.update_ms,
            }
        )
    return found


def _margin(call: Call) -> Margin:
    call.exchange.futures.advance_all(call.now_ms)
    return call.exchange.futures.state.margin(call.account.id, call.now_ms)


def _asset(call: Call, margin: Margin) -> dict[str, Any]:
    available = number(max(ZERO, margin.available))
    return {
        "asset": "USDT",
        "walletBalance": number(margin.wallet),
        "unrealizedProfit": number(margin.profit),
        "marginBalance": number(margin.wallet + margin.profit),
        "maintMargin": number(margin.maintenance),
        "initialMargin": number(margin.position_margin + margin.order_margin),
        "positionInitialMargin": number(margin.position_margin),
        "openOrderInitialMargin": number(margin.order_margin),
        "crossWalletBalance": number(margin.cross_wallet),
        "crossUnPnl": number(margin.cross_profit),
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "marginAvailable": True,
        "updateTime": call.now_ms,
    }


def _totals(asset: dict[str, Any]) -> dict[str, Any]:
    named = {
        "totalInitialMargin": "initialMargin",
        "totalMaintMargin": "maintMargin",
        "totalWalletBalance": "walletBalance",
        "totalUnrealizedProfit": "unrealizedProfit",
        "totalMarginBalance": "marginBalance",
        "totalPositionInitialMargin": "positionInitialMargin",
        "totalOpenOrderInitialMargin": "openOrderInitialMargin",
        "totalCrossWalletBalance": "crossWalletBalance",
        "totalCrossUnPnl": "crossUnPnl",
        "availableBalance": "availableBalance",
        "maxWithdrawAmount": "maxWithdrawAmount",
    }
    return {total: asset[name] for total, name in named.items()}


def account_v3(call: Call) -> dict[str, Any]:
    """GET /fapi/v3/account: only contracts with a position or open orders."""
    asset, positions = _asset(call, _margin(call)), []
    names = ("isolatedMargin", "notional", "isolatedWallet", "initialMargin", "maintMargin")
    for contract, position in _positions(call, everything=False):
        figures = {name: number(value) for name, value in _numbers(call, contract, position).items()}
        positions.append(
            {
                "symbol": contract.symbol,
                "positionSide": "BOTH",
                "positionAmt": plain(position.quantity),
                "unrealizedProfit": figures["unRealizedProfit"],
                **{name: figures[name] for name in names},
                "updateTime": position.update_ms,
            }
        )
    return {**_totals(asset), "assets": [asset], "positions": positions}


def account_v2(call: Call) -> dict[str, Any]:
    """GET /fapi/v2/account: every contract, with its leverage."""
    asset, positions = _asset(call, _margin(call)), []
    names = ("initialMargin", "maintMargin", "positionInitialMargin", "openOrderInitialMargin")
    for contract, position in _positions(call, everything=True):
        figures = {name: number(value) for name, value in _numbers(call, contract, position).items()}
        positions.append(
            {
                "symbol": contract.symbol,
                **{name: figures[name] for name in (*names, "entryPrice", "bidNotional", "askNotional")},
                "unrealizedProfit": figures["unRealizedProfit"],
                "leverage": str(position.leverage),
                "isolated": position.is_isolated,
                "isolatedWallet": figures["isolatedWallet"],
                "notional": figures["notional"],
                "maxNotional": plain(contract.most_notional(position.leverage)),
                "positionSide": "BOTH",
                "positionAmt": plain(position.quantity),
                "updateTime": position.update_ms,
            }
        )
    return {**account_config(call), **_totals(asset), "assets": [asset], "positions": positions}


def balance(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v2/balance and v3."""
    asset = _asset(call, _margin(call))
    names = ("crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount", "marginAvailable")
    alias = hashlib.sha256(call.account.api_key.encode()).hexdigest()[:8]
    return [
        {
            "accountAlias": alias,
            "asset": "USDT",
            "balance": asset["walletBalance"],
            **{name: asset[name] for name in names},
            "updateTime": call.now_ms,
        }
    ]


def income(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/income: oldest first from startTime, otherwise the latest of the last seven days."""
    futures, params = call.exchange.futures, call.params
    symbol = contract_of(call).symbol if "symbol" in params else None
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is None and end is None:
        start_ms, forward = call.now_ms - INCOME_DAYS_MS, False
    else:
        start_ms, forward = start or 0, start is not None
    kind, limit, page = params.text("incomeType"), params.limit(100, 1000), params.integer("page", 1) or 1
    futures.advance_all(call.now_ms)
    where, values = "account_id = ? AND time_ms >= ?", [call.account.id, start_ms]
    for condition, value in (("time_ms <= ?", end), ("symbol = ?", symbol), ("kind = ?", kind)):
        if value is not None:
            where += f" AND {condition}"
            values.append(value)  # type: ignore[arg-type]
    where += f" ORDER BY tran_id {'ASC' if forward else 'DESC'} LIMIT ? OFFSET ?"
    found = futures.books.income(where, (*values, limit, (page - 1) * limit))
    return [income_json(one) for one in (found if forward else reversed(found))]


# -- tables and limits


def leverage_bracket(call: Call) -> Any:
    """GET /fapi/v1/leverageBracket: a list, as it always was for a single symbol too."""
    contracts = call.contracts
    chosen = [contract_of(call)] if "symbol" in call.params else list(contracts.values())
    return [
        {"symbol": one.symbol, "notionalCoef": 1.0, "brackets": [row.as_json() for row in one.brackets]}
        for one in chosen
    ]


def commission_rate(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/commissionRate."""
    ledger = call.exchange.futures.ledger
    return {
        "symbol": contract_of(call).symbol,
        "makerCommissionRate": plain(ledger.maker_rate),
        "takerCommissionRate": plain(ledger.taker_rate),
    }


def rate_limit_order(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/rateLimit/order: limits without counts."""
    counts, kind = call.exchange.futures.counts, {"rateLimitType": "ORDERS"}
    return [
        {**kind, "interval": "SECOND", "intervalNum": 10, "limit": counts.per_ten_seconds},
        {**kind, "interval": "MINUTE", "intervalNum": 1, "limit": counts.per_day},
    ]


def multi_assets(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/multiAssetsMargin: single-asset mode only."""
    return {"multiAssetsMargin": False}


# -- listen keys (their streams come later)


def listen_key(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/listenKey: the current key, made or extended."""
    return {"listenKey": call.exchange.listen_keys.make(call.account.id, call.now_ms)}


def keep_listen_key(call: Call) -> dict[str, Any]:
    """PUT /fapi/v1/listenKey: extended by 60 minutes; -1125 if it is over."""
    if not call.exchange.listen_keys.extend(call.account.id, call.now_ms):
        raise refused(-1125)
    return {"listenKey": call.exchange.listen_keys.make(call.account.id, call.now_ms)}


def close_listen_key(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/listenKey."""
    call.exchange.listen_keys.drop(call.account.id)
    return {}


def _route(
    method: str, path: str, handler: Any, weight: int, *, keyed: bool = False, priced: bool = False
) -> Route:
    path = f"/fapi/{path}"
    return Route(method, path, handler, weight, "futures", signed=not keyed, keyed=keyed, priced=priced)


ROUTES = (
    _route("POST", "v1/leverage", set_leverage, 1),
    _route("POST", "v1/marginType", set_margin_type, 1),
    _route("GET", "v1/positionSide/dual", get_dual, 30),
    _route("POST", "v1/positionSide/dual", set_dual, 1),
    _route("GET", "v1/multiAssetsMargin", multi_assets, 30),
    _route("GET", "v1/symbolConfig", symbol_config, 5),
    _route("GET", "v1/accountConfig", account_config, 5),
    _route("GET", "v2/positionRisk", position_risk_v2, 5, priced=True),
    _route("GET", "v3/positionRisk", position_risk_v3, 5, priced=True),
    _route("GET", "v2/account", account_v2, 5, priced=True),
    _route("GET", "v3/account", account_v3, 5, priced=True),
    _route("GET", "v2/balance", balance, 5, priced=True),
    _route("GET", "v3/balance", balance, 5, priced=True),
    _route("GET", "v1/income", income, 30),
    _route("GET", "v1/leverageBracket", leverage_bracket, 1),
    _route("GET", "v1/commissionRate", commission_rate, 20),
    _route("GET", "v1/rateLimit/order", rate_limit_order, 1),
    _route("POST", "v1/listenKey", listen_key, 1, keyed=True),
    _route("PUT", "v1/listenKey", keep_listen_key, 1, keyed=True),
    _route("DELETE", "v1/listenKey", close_listen_key, 1, keyed=True),
)
