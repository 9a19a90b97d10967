"""The books: what the exchange says of an order becomes fills, trades, position, counters and balances."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from marketdata.types import SymbolRules
from tradebot import rows
from tradebot.binance.client import ExchangeClient
from tradebot.errors import ExchangeError
from trading import money, outbox, positions
from trading.assets import assets_of
from trading.books_fifo import FillView, fifo
from trading.models import BotState, Fill, FundingPayment, Order, OrderRequest
from trading.trades import write_trades
from trading.wire import FillSaid, OrderSaid, legs_of, list_id_of, wire_of

logger = logging.getLogger(__name__)

TERMINAL = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH", "NOT_PLACED"})
ZERO = Decimal(0)
# what booking changes of an order
BOOKED_FIELDS = (
    "exchange_order_id",
    "actual_order_id",
    "asked_at",
    "status",
    "executed_quantity",
    "executed_quote",
    "fills_complete",
    "live",
    "updated_at",
)
ORDERS = "WHERE request_id = %s ORDER BY id FOR NO KEY UPDATE"
ALL_FILLS = "WHERE bot_id = %s ORDER BY traded_at, trade_id"
DAY_SUMS = """
SELECT coalesce(sum(realized_pnl), 0), count(*) FILTER (WHERE purpose = 'ENTRY')
FROM trading_trade WHERE bot_config_id = %s AND created_at >= %s AND created_at < %s
"""
# Signed base quantity that orders executed and whose fills are not booked yet; the bot's adjustments (dust is
# negative); what the entries of one signal executed; the day as in DAY_SUMS.
SUMS = """
SELECT executed.missing, adjusted.total, entries.quantity, entries.quote, day.pnl, day.entries
FROM (
    SELECT coalesce(sum(CASE side WHEN 'BUY' THEN missing ELSE -missing END), 0) AS missing FROM (
        SELECT side, executed_quantity - coalesce(
            (SELECT sum(quantity) FROM trading_fill WHERE order_id = trading_order.id), 0) AS missing
        FROM trading_order WHERE bot_id = %s AND NOT fills_complete AND executed_quantity > 0
    ) AS orders
) AS executed, (
    SELECT coalesce(sum(quantity), 0) AS total FROM trading_adjustment WHERE bot_id = %s
) AS adjusted, (
    SELECT sum(executed_quantity) AS quantity, sum(executed_quote) AS quote FROM trading_order
    WHERE bot_id = %s AND purpose IN ('ENTRY', 'DCA') AND signal_time = %s AND executed_quantity > 0
) AS entries, (
    SELECT coalesce(sum(realized_pnl), 0) AS pnl, count(*) FILTER (WHERE purpose = 'ENTRY') AS entries
    FROM trading_trade WHERE bot_config_id = %s AND created_at >= %s AND created_at < %s
) AS day
"""


def book_order(
    *,
    request: OrderRequest,
    state: BotState,
    body: dict[str, Any],
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: datetime,
) -> list[Order]:
    """Book the exchange's word on the request's orders: status, fills, money, position, trades.

    `body` is the answer to the request's POST, or what legs.ask() gives. The bot's state row must be locked;
    it is saved. Fills that the body lacks are asked for; if they can't be had the order stays
    `fills_complete=False` and the position counts what was executed until they are. Gives the orders that
    traded since they were last booked.
    """
    orders = rows.read(Order, ORDERS, [request.pk])
    for order in orders:
        order.request = request
    said = legs_of(request.kind, request.client_id, body)
    number = list_id_of(request.kind, body)
    if number is not None and request.exchange_list_id != number:
        request.exchange_list_id = number
        request.save(update_fields=["exchange_list_id"])
    locked = money.locked_by(orders, rules)
    is_first = any(order.status == Order.Status.PENDING for order in orders)  # what was reserved is still
    changes: dict[str, Decimal] = defaultdict(Decimal)
    traded = []
    fills: list[Fill] | None = None
    for order in orders:
        if order.client_order_id not in said:
            continue
        executed = order.executed_quantity
        word = said[order.client_order_id]
        _note_status(order, request, word, rules, now, changes)
        fills = _book_fills(order, word, client, rules, changes)
        if order.executed_quantity != executed:
            traded.append(order)
    for asset, amount in money.locked_by(orders, rules).items():
        changes[asset] -= amount - locked.pop(asset, ZERO)
    for asset, amount in locked.items():
        changes[asset] += amount
    money.settle(request.account_id, request.market, changes, ended=request if is_first else None)
    stops = [order for order in orders if order.purpose == "STOP"]
    if stops and state.in_position:
        positions.note_stop(state, is_live=any(order.live for order in stops), now=now)
    for order in traded or orders[:1]:
        rebook(order=order, state=state, rules=rules, now=now, fills=fills)
    return traded


def complete_fills(
    *, order: Order, state: BotState, client: ExchangeClient, rules: SymbolRules | None, now: datetime
) -> bool:
    """Ask again for the fills of an order that lacks some; True when they are all there now."""
    changes: dict[str, Decimal] = defaultdict(Decimal)
    fills = _book_fills(order, {}, client, rules, changes)
    money.settle(order.account_id, order.market, changes)
    rebook(order=order, state=state, rules=rules, now=now, fills=fills)
    return order.fills_complete


def _note_status(
    order: Order,
    request: OrderRequest,
    body: Mapping[str, Any],
    rules: SymbolRules | None,
    now: datetime,
    changes: dict[str, Decimal],
) -> None:
    """Write status and executed amounts; adds what they change of the account's balances to `changes`."""
    wire = wire_of(order.market)
    said = wire.order(body)
    order.asked_at = now
    if _is_older(said, order):
        return
    news = wire.executed(
        assets_of(order.symbol, rules),
        order.side,
        said.executed - order.executed_quantity,
        said.quote - order.executed_quote,
    )
    for asset, change in news.items():
        changes[asset] += change
    if said.order_id is not None:
        order.exchange_order_id = said.order_id
        if request.kind == OrderRequest.Kind.ALGO:
            order.actual_order_id = said.order_id
    order.status = said.status
    order.executed_quantity, order.executed_quote = said.executed, said.quote
    order.live = order.live and order.status not in TERMINAL
    order.updated_at = now


def _is_older(said: OrderSaid, order: Order) -> bool:
    """Whether the exchange's word was overtaken: what was executed, and what is over, stays so."""
    is_over = order.status in TERMINAL and order.exchange_order_id is not None
    return said.executed < order.executed_quantity or (is_over and said.status not in TERMINAL)


def _book_fills(
    order: Order,
    body: Mapping[str, Any],
    client: ExchangeClient,
    rules: SymbolRules | None,
    changes: dict[str, Decimal],
) -> list[Fill]:
    """Insert the fills that are new, see whether all are there, save the order; gives all of the bot's."""
    told = wire_of(order.market).fills_in(body, order.side) if body else []
    if sum((row.quantity for row in told), ZERO) != order.executed_quantity:
        told = _ask_for_fills(order, client)
    fills = all_fills(order.bot_id)
    known = {fill.trade_id for fill in fills if fill.order_id == order.pk}
    said = {row.trade_id: row for row in told if row.trade_id not in known}
    new = [own_fill(order, row) for row in said.values()]
    if not price_commissions(new, rules, client):
        new = []  # asked for again at the next look; until then the executed quantity counts
    if new:
        written = {row[0] for row in rows.run(rows.insert(new, ignore_conflicts=True, answer="trade_id"))}
        new = [fill for fill in new if fill.trade_id in written]  # what is booked once, counts once
        fills = sorted([*fills, *new], key=lambda fill: (fill.traded_at, fill.trade_id))
    for fill in new:
        for asset, change in said[fill.trade_id].changes.items():
            changes[asset] += change
    booked = sum((fill.quantity for fill in fills if fill.order_id == order.pk), ZERO)
    order.fills_complete = order.status in TERMINAL and booked == order.executed_quantity
    rows.run(rows.update(order, BOOKED_FIELDS))
    return fills


def all_fills(bot_id: int) -> list[Fill]:
    """The fills that make a bot's position, oldest first."""
    return rows.read(Fill, ALL_FILLS, [bot_id])


def _ask_for_fills(order: Order, client: ExchangeClient) -> list[FillSaid]:
    """All fills of the order, page by page (myTrades, userTrades: at most 1,000 a page)."""
    if not order.executed_quantity or order.exchange_order_id is None:
        return []
    wire = wire_of(order.market)
    told: list[FillSaid] = []
    from_id = 0  # without it the newest thousand are answered, and the older ones never
    try:
        while True:
            page = client.my_trades(order.symbol, order_id=order.exchange_order_id, from_id=from_id)
            told += [wire.fill(row) for row in page]
            if len(page) < 1000:
                return told
            from_id = int(page[-1]["id"]) + 1
    except ExchangeError as error:
        logger.warning("fills of %s can't be had yet: %s", order.client_order_id, error)
        return told


def own_fill(order: Order, said: FillSaid) -> Fill:
    """The row, not saved, of an execution of one of our orders."""
    return Fill(
        account_id=order.account_id,
        market=order.market,
        symbol=order.symbol,
        trade_id=said.trade_id,
        order=order,
        bot_id=order.bot_id,
        side=order.side,
        quantity=said.quantity,
        price=said.price,
        commission=said.commission,
        commission_asset=said.commission_asset,
        exchange_order_id=said.order_id,
        exchange_pnl=said.exchange_pnl,
        traded_at=said.traded_at,
    )


def price_commissions(fills: list[Fill], rules: SymbolRules | None, client: ExchangeClient) -> bool:
    """Note the quote price of each commission in a third asset (BNB), as of now; False if it can't be had.

    Asked for once for each asset, however many fills there are.
    """
    prices: dict[str, Decimal] = {}
    for fill in fills:
        asset = fill.commission_asset
        if rules is None or not fill.commission or asset in (rules.base, rules.quote):
            continue
        try:
            if asset not in prices:
                prices[asset] = Decimal(client.price(f"{asset}{rules.quote}"))
        except ExchangeError as error:
            logger.warning("the price of %s can't be had yet: %s", asset, error)
            return False
        fill.commission_price = prices[asset]
    return True


def rebook(
    *,
    order: Order | None,
    state: BotState,
    rules: SymbolRules | None,
    now: datetime,
    fills: list[Fill] | None = None,
) -> None:
    """Recompute the bot's books from all its fills; write trades, position and the day's counters.

    `order` is the one that was booked, None for what came from outside; `fills` are all_fills() in hand.
    """
    if fills is None:
        fills = all_fills(state.bot_id)
    books = fifo([_view(fill, rules) for fill in fills])
    write_trades(state, fills, books.realized, rules, now, order)
    last = max((fill.traded_at for fill in fills if order is None or fill.order_id == order.pk), default=now)
    signal_time = order.signal_time if order and not state.in_position else state.entry_signal_time
    bot = [state.bot_id] * 3
    missing, adjusted, quantity, quote, *day_sums = rows.one(
        SUMS, [*bot, signal_time, state.bot_id, *_day_of(now)]
    )
    positions.update(
        state=state,
        order=order,
        holdings=books.position + missing + adjusted,
        average_entry=quote / quantity if quantity else None,
        rules=rules,
        filled_at=last,
        now=now,
    )
    state.realized_total = books.realized_total + _paid(state)
    count_day(state, now, day_sums)
    rows.run(rows.update(state))
    if order is not None:
        outbox.day_counted(order, state, now)


def count_payment(state: BotState, amount: Decimal, now: datetime) -> None:
    """Count a booked payment in the state's realised PnL and the day's; the state is locked, and saved."""
    state.realized_total += amount
    count_day(state, now)
    state.save(
        update_fields=["realized_total", "trading_day", "daily_limit", "daily_pnl", "daily_trades_count"]
    )


def _paid(state: BotState, **when: datetime) -> Decimal:
    """Funding and fees of liquidation that a futures bot received (or paid, negative) without an order."""
    if state.bot.market != "futures":
        return ZERO
    payments = FundingPayment.objects.filter(bot_id=state.bot_id, **when)
    return payments.aggregate(total=Sum("amount"))["total"] or ZERO


def _view(fill: Fill, rules: SymbolRules | None) -> FillView:
    base, quote = assets_of(fill.symbol, rules)
    return FillView(
        side="BUY" if fill.side == "BUY" else "SELL",
        quantity=fill.quantity,
        price=fill.price,
        commission=fill.commission,
        commission_asset=fill.commission_asset,
        base=base,
        quote=quote,
        bnb_price=fill.commission_price,
        market=fill.market,
    )


def count_day(state: BotState, now: datetime, sums: Sequence[Any] | None = None) -> None:
    """Set the counters of the UTC day of `now` from trades and funding; the caller saves.

    `sums` are what DAY_SUMS answers, where the caller has asked.
    """
    day = now.astimezone(UTC).date()
    start, end = _day_of(now)
    pnl, entries = sums or rows.one(DAY_SUMS, [state.bot_id, start, end])
    if state.trading_day != day:
        state.trading_day, state.daily_limit = day, ""
    state.daily_pnl = pnl + _paid(state, paid_at__gte=start, paid_at__lt=end)
    state.daily_trades_count = entries


def _day_of(now: datetime) -> tuple[datetime, datetime]:
    """When the UTC day of `now` begins and ends."""
    start = datetime.combine(now.astimezone(UTC).date(), time.min, UTC)
    return start, start + timedelta(days=1)
