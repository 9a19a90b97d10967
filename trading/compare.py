"""Journal against exchange: every order, fill and balance of an account, difference by difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from tradebot.binance.client import ExchangeClient
from tradebot.clock import to_ms
from trading.holdings import expected_position
from trading.ids import PREFIX
from trading.models import AccountState, BotState, ExchangeAccount, Fill, Order
from trading.models.journal import DOUBT_STATES
from trading.wire import position_of, wire_of

PAGE = 1000
DAY_MS = 86_400_000  # allOrders and myTrades take windows of 24 h at most
PNL_ROUNDING = Decimal("0.000001")  # a fill: the exchange rounds its entry price and each PnL
ZERO = Decimal(0)


def compare_account(account: ExchangeAccount, market: str, client: ExchangeClient) -> list[str]:
    """What differs, one sentence each; empty when the books agree (I12, I13, I14 of docs/orders.md).

    Costs 40 of request weight for each symbol that the account has traded (futures: 10, and 10 in all).
    Raises the client's errors.
    """
    symbols = (
        Order.objects.filter(account=account, market=market)
        .order_by("symbol")
        .values_list("symbol", flat=True)
        .distinct()
    )
    found: list[str] = []
    for symbol in symbols:
        found += _orders(account, market, symbol, client)
        found += _fills(account, market, symbol, client)
        found += _realized(account, symbol) if market == "futures" else []
    if account.is_exclusive:
        found += _balances(account, market, wire_of(market).free(client.account()))
        if market == "futures":
            found += _positions(account, client.position_risk(), symbols)
    return found


def _orders(account: ExchangeAccount, market: str, symbol: str, client: ExchangeClient) -> list[str]:
    ours = {
        order.client_order_id: order
        for order in Order.objects.filter(
            account=account, market=market, symbol=symbol, exchange_order_id__isnull=False
        )
    }
    theirs = {
        row["clientOrderId"]: row
        for row in _all_orders(client, symbol, [order.created_at for order in ours.values()])
        if row["clientOrderId"].startswith(PREFIX)
    }
    found = [f"{symbol}: the journal lacks order {one}" for one in sorted(theirs.keys() - ours.keys())]
    found += [f"{symbol}: the exchange lacks order {one}" for one in sorted(ours.keys() - theirs.keys())]
    for name in sorted(theirs.keys() & ours.keys()):
        order, row = ours[name], theirs[name]
        mine = (order.exchange_order_id, order.status, order.executed_quantity, order.executed_quote)
        said = wire_of(market).order(row)
        other = (said.order_id, said.status, said.executed, said.quote)
        if mine != other:
            found.append(f"{symbol}: order {name} is {_text(mine)} here and {_text(other)} there")
    return found


def _fills(account: ExchangeAccount, market: str, symbol: str, client: ExchangeClient) -> list[str]:
    said = [wire_of(market).fill(row) for row in _trades(client, symbol)]
    theirs = {one.trade_id: (one.quantity, one.price, one.commission, one.commission_asset) for one in said}
    ours = {
        fill.trade_id: (fill.quantity, fill.price, fill.commission, fill.commission_asset)
        for fill in Fill.objects.filter(account=account, market=market, symbol=symbol)
    }
    return [
        f"{symbol}: fill {one} is {_text(ours.get(one, ()))} here and {_text(theirs.get(one, ()))} there"
        for one in sorted(theirs.keys() | ours.keys())
        if theirs.get(one) != ours.get(one)
    ]


def _trades(client: ExchangeClient, symbol: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    from_id = 0
    while True:
        page = client.my_trades(symbol, from_id=from_id, limit=PAGE)
        rows += page
        if len(page) < PAGE:
            return rows
        from_id = int(page[-1]["id"]) + 1


def _all_orders(client: ExchangeClient, symbol: str, times: list[datetime]) -> list[dict[str, Any]]:
    """The symbol's newest orders and those of each day since the journal's first, asked for day by day."""
    rows = {row["orderId"]: row for row in client.all_orders(symbol, limit=PAGE)}
    if len(rows) < PAGE or not times:
        return list(rows.values())
    start_ms, end_ms = to_ms(min(times)) - DAY_MS, to_ms(max(times)) + DAY_MS
    for day_ms in range(start_ms, end_ms, DAY_MS):
        page = client.all_orders(symbol, start_ms=day_ms, end_ms=day_ms + DAY_MS - 1, limit=PAGE)
        rows |= {row["orderId"]: row for row in page}
    return list(rows.values())


def _balances(account: ExchangeAccount, market: str, theirs: Mapping[str, Decimal]) -> list[str]:
    if account.requests.filter(market=market, state__in=DOUBT_STATES).exists():
        return []
    found = []
    for state in AccountState.objects.filter(account=account, market=market, asked_at__isnull=False):
        there = theirs.get(state.asset, ZERO)
        if state.free != there:
            found.append(f"balance of {state.asset}: {_text([state.free])} here, {_text([there])} there")
    return found


def _positions(account: ExchangeAccount, rows: list[dict[str, Any]], symbols: Iterable[str]) -> list[str]:
    """Positions of the exchange, of the journal's fills and of the bots' states: all three equal."""
    found = []
    for symbol in sorted({*symbols, *(row["symbol"] for row in rows)}):
        there, here = position_of(rows, symbol), expected_position(account.pk, "futures", symbol)
        states = BotState.objects.filter(
            bot__account=account, bot__market="futures", bot__symbol=symbol, in_position=True
        ).values_list("current_position_size_coins", "bot__position_type")
        held = sum((-size if side == "short" else size for size, side in states), ZERO)
        if not there == here == held:
            found.append(
                f"{symbol}: position {_text([there])} there, {_text([here])} by the fills here, "
                f"{_text([held])} by the bots"
            )
    return found


def _realized(account: ExchangeAccount, symbol: str) -> list[str]:
    """From flat to flat the gross PnL of the fills is what the exchange says, to rounding (I6)."""
    fills = Fill.objects.filter(account=account, market="futures", symbol=symbol)
    position = gross = theirs = flat_gross = flat_theirs = ZERO
    flat_count = 0
    for count, fill in enumerate(fills.order_by("traded_at", "trade_id"), start=1):
        sign = 1 if fill.side == "BUY" else -1
        position += sign * fill.quantity
        gross -= sign * fill.quantity * fill.price
        theirs += fill.exchange_pnl or ZERO
        if not position:
            flat_gross, flat_theirs, flat_count = gross, theirs, count
    if abs(flat_gross - flat_theirs) <= PNL_ROUNDING * flat_count:
        return []
    return [f"{symbol}: realised before fees {_text([flat_gross])} here, {_text([flat_theirs])} there"]


def _text(values: Iterable[object]) -> str:
    return " ".join(f"{v.normalize():f}" if isinstance(v, Decimal) else str(v) for v in values) or "missing"
