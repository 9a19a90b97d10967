"""The /paper/futures/ endpoints: what tests use to steer futures, and their part of /paper/books."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from trading.paper.books import Account
from trading.paper.control_values import ControlRefused
from trading.paper.errors import ApiError
from trading.paper.exchange import Exchange
from trading.paper.futures_contracts import Contract
from trading.paper.futures_ordering import NewFutures
from trading.paper.futures_orders import algo_json, fill_json, income_json, order_json, plain
from trading.paper.orders import number


def _contract(exchange: Exchange, body: dict[str, Any]) -> Contract:
    contract = exchange.futures.state.contracts.get(str(body.get("symbol")))
    if contract is None:
        raise ControlRefused("no such contract here")
    return contract


def _account(exchange: Exchange, body: dict[str, Any]) -> Account:
    account = exchange.books.accounts.get(str(body.get("apiKey")))
    if account is None:
        raise ControlRefused("no account has this apiKey")
    exchange.futures_wallet(account)
    return account


def _number(body: dict[str, Any], name: str) -> Decimal:
    try:
        value = Decimal(str(body.get(name)))
    except InvalidOperation as error:
        raise ControlRefused(f"{name} must be a number") from error
    if not value.is_finite():
        raise ControlRefused(f"{name} must be a number")
    return value


def set_rate(exchange: Exchange, body: dict[str, Any]) -> Any:
    """POST /paper/futures/funding {"symbol", "rate"}: from now on; null for the usual ones."""
    contract, now_ms = _contract(exchange, body), exchange.clock.now_ms()
    rate = None if body.get("rate") is None else _number(body, "rate")
    exchange.futures.advance(contract.symbol, now_ms)
    exchange.futures.rates.set_rate(contract.symbol, rate, now_ms)
    return {"symbol": contract.symbol, "rate": None if rate is None else plain(rate)}


def set_mark(exchange: Exchange, body: dict[str, Any]) -> Any:
    """POST /paper/futures/mark {"symbol", "price"}: the mark price stands there; null for the last price."""
    contract, now_ms = _contract(exchange, body), exchange.clock.now_ms()
    futures = exchange.futures
    futures.advance(contract.symbol, now_ms)
    if body.get("price") is None:
        futures.state.marks.clear_price(contract.underlying, now_ms)
        return {"symbol": contract.symbol, "price": None}
    price = _number(body, "price")
    if price <= 0:
        raise ControlRefused("price must be above zero")
    futures.state.marks.set_price(contract.underlying, float(price), now_ms)
    futures.advance(contract.symbol, now_ms)
    return {"symbol": contract.symbol, "price": plain(price)}


def _held(exchange: Exchange, body: dict[str, Any]) -> tuple[Account, Contract, Any]:
    account, contract = _account(exchange, body), _contract(exchange, body)
    exchange.futures.advance(contract.symbol, exchange.clock.now_ms())
    position = exchange.futures.ledger.position(account.id, contract)
    if not position.quantity:
        raise ControlRefused("there is no position")
    return account, contract, position


def close_by_hand(exchange: Exchange, body: dict[str, Any]) -> Any:
    """POST /paper/futures/close {"apiKey", "symbol", "quantity"?}: as a person would in the web page."""
    account, contract, position = _held(exchange, body)
    quantity = abs(position.quantity) if body.get("quantity") is None else _number(body, "quantity")
    new = NewFutures(
        contract,
        "SELL" if position.quantity > 0 else "BUY",
        "MARKET",
        f"web_{secrets.token_hex(8)}",
        quantity=quantity,
        reduce_only=True,
    )
    try:
        order, _ = exchange.futures.place(account, new, exchange.clock.now_ms())
    except ApiError as error:
        raise ControlRefused(str(error)) from error
    return order_json(order)


def liquidate(exchange: Exchange, body: dict[str, Any]) -> Any:
    """POST /paper/futures/liquidate {"apiKey", "symbol", "adl"?}: now, whatever the price."""
    _, _, position = _held(exchange, body)
    by_adl = body.get("adl", False)
    if not isinstance(by_adl, bool):
        raise ControlRefused("adl is true or false")
    with exchange.futures.books.transaction():
        order = exchange.futures.events.liquidate(position, exchange.clock.now_ms(), by_adl=by_adl)
    return order_json(order)


def set_balance(exchange: Exchange, body: dict[str, Any]) -> Any:
    """POST /paper/futures/balance {"apiKey", "balance"}: the wallet; the difference is a TRANSFER."""
    account, balance, now_ms = _account(exchange, body), _number(body, "balance"), exchange.clock.now_ms()
    exchange.futures.advance_all(now_ms)
    wallet = exchange.futures.books.wallets[account.id]
    with exchange.futures.books.transaction():
        change = balance - wallet.balance
        exchange.futures.ledger.pay(account.id, "TRANSFER", change, now_ms)
        reason = "DEPOSIT" if change >= 0 else "WITHDRAW"
        exchange.futures.ledger.tell_account(account.id, reason, now_ms, change=change)
    return {"apiKey": account.api_key, "balance": number(wallet.balance)}


def set_delay(exchange: Exchange, body: dict[str, Any]) -> Any:
    """POST /paper/futures/trigger {"delay_ms"}: how long conditional orders stay TRIGGERING."""
    delay = body.get("delay_ms")
    if isinstance(delay, bool) or not isinstance(delay, int) or delay < 0:
        raise ControlRefused("delay_ms must be a whole number of milliseconds")
    exchange.futures.advance_all(exchange.clock.now_ms())
    exchange.futures.events.trigger_delay_ms = delay
    return {"delayMs": delay}


POSTS: dict[str, Callable[[Exchange, dict[str, Any]], Any]] = {
    "/paper/futures/funding": set_rate,
    "/paper/futures/mark": set_mark,
    "/paper/futures/close": close_by_hand,
    "/paper/futures/liquidate": liquidate,
    "/paper/futures/balance": set_balance,
    "/paper/futures/trigger": set_delay,
}


def futures_books(exchange: Exchange, account: Account) -> dict[str, Any]:
    """Wallet, positions, orders, fills, conditional orders and income of an account, all there are."""
    books, mine = exchange.futures.books, (account.id,)
    wallet = books.wallets.get(account.id)
    return {
        "walletBalance": number(wallet.balance) if wallet is not None else None,
        "positions": [
            {
                "symbol": one.symbol,
                "positionAmt": plain(one.quantity),
                "entryPrice": number(one.entry_price),
                "isolatedWallet": number(one.isolated_wallet),
                "leverage": one.leverage,
                "marginType": one.margin_type,
            }
            for one in sorted(books.positions_of(account.id), key=lambda one: one.symbol)
        ],
        "orders": [order_json(one) for one in books.orders("account_id = ? ORDER BY order_id", mine)],
        "fills": [fill_json(one) for one in books.fills("account_id = ? ORDER BY trade_id", mine)],
        "algoOrders": [algo_json(one) for one in books.algos("account_id = ? ORDER BY algo_id", mine)],
        "income": [income_json(one) for one in books.income("account_id = ? ORDER BY tran_id", mine)],
    }
