"""The books: what the exchange says of an order becomes fills, trades, position, counters and balances."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum

from marketdata.types import SymbolRules
from tradebot.binance.client import ExchangeClient
from tradebot.clock import from_ms
from tradebot.errors import ExchangeError
from trading import money, outbox, positions
from trading.books_fifo import Books, FillView, fifo
from trading.models import BotState, Fill, Order, OrderRequest, Trade
from trading.types import Protection

logger = logging.getLogger(__name__)

TERMINAL = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH", "NOT_PLACED"})
ZERO = Decimal(0)


def book_order(
    *,
    request: OrderRequest,
    state: BotState,
    body: dict[str, Any],
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: datetime,
) -> Order:
    """Book the exchange's word on the request's order: status, fills, money, position, trade.

    `body` is the answer to a POST or a GET of a spot order (rest-api.md). The bot's state row must be
    locked; it is saved. Fills that the body lacks are asked for; if they can't be had the order stays
    `fills_complete=False` and the position counts what was executed until they are.
    """
    order = request.orders.select_for_update(no_key=True).get()
    changes = _note_status(order, body, rules, now)
    _book_fills(order, body, client, rules, changes)
    order.save()
    money.settle(request.account_id, request.market, changes)
    if request.reserved_amount:
        money.release(request)
    rebook(order=order, state=state, rules=rules, now=now)
    return order


def complete_fills(
    *, order: Order, state: BotState, client: ExchangeClient, rules: SymbolRules | None, now: datetime
) -> bool:
    """Ask again for the fills of an order that lacks some; True when they are all there now."""
    changes: dict[str, Decimal] = defaultdict(Decimal)
    _book_fills(order, {}, client, rules, changes)
    order.save()
    money.settle(order.account_id, order.market, changes)
    rebook(order=order, state=state, rules=rules, now=now)
    return order.fills_complete


def _note_status(
    order: Order, body: dict[str, Any], rules: SymbolRules | None, now: datetime
) -> dict[str, Decimal]:
    """Write status and executed amounts; gives what they change of the account's free balances."""
    executed = Decimal(body.get("executedQty", "0"))
    quote = Decimal(body.get("cummulativeQuoteQty", "0"))
    sign = 1 if order.side == "BUY" else -1
    changes: dict[str, Decimal] = defaultdict(Decimal)
    if rules is not None:
        changes[rules.base] += sign * (executed - order.executed_quantity)
        changes[rules.quote] -= sign * (quote - order.executed_quote)
    order.exchange_order_id = int(body["orderId"])
    order.status = body.get("status", "NEW")
    order.executed_quantity, order.executed_quote = executed, quote
    order.live = order.status not in TERMINAL
    order.updated_at = now
    return changes


def _book_fills(
    order: Order,
    body: dict[str, Any],
    client: ExchangeClient,
    rules: SymbolRules | None,
    changes: dict[str, Decimal],
) -> None:
    rows = [
        _fill(order, row["tradeId"], row, from_ms(int(body["transactTime"]))) for row in body.get("fills", [])
    ]
    if sum((row.quantity for row in rows), ZERO) != order.executed_quantity:
        rows = _ask_for_fills(order, client)
    known = set(order.fills.values_list("trade_id", flat=True))
    new = [row for row in rows if row.trade_id not in known]
    if not _price_commissions(new, rules, client):
        new = []  # asked for again at the next look; until then the executed quantity counts
    for row in new:
        changes[row.commission_asset] -= row.commission
    Fill.objects.bulk_create(new, ignore_conflicts=True)
    booked = order.fills.aggregate(total=Sum("quantity"))["total"] or ZERO
    order.fills_complete = not order.live and booked == order.executed_quantity


def _ask_for_fills(order: Order, client: ExchangeClient) -> list[Fill]:
    """All fills of the order, page by page (myTrades, at most 1,000 a page)."""
    if not order.executed_quantity or order.exchange_order_id is None:
        return []
    rows: list[Fill] = []
    from_id: int | None = None
    try:
        while True:
            page = client.my_trades(order.symbol, order_id=order.exchange_order_id, from_id=from_id)
            rows += [_fill(order, row["id"], row, from_ms(int(row["time"]))) for row in page]
            if len(page) < 1000:
                return rows
            from_id = int(page[-1]["id"]) + 1
    except ExchangeError as error:
        logger.warning("fills of %s can't be had yet: %s", order.client_order_id, error)
        return rows


def _fill(order: Order, trade_id: Any, row: dict[str, Any], traded_at: datetime) -> Fill:
    return Fill(
        account_id=order.account_id,
        market=order.market,
        symbol=order.symbol,
        trade_id=int(trade_id),
        order=order,
        bot_id=order.bot_id,
        side=order.side,
        quantity=Decimal(row["qty"]),
        price=Decimal(row["price"]),
        commission=Decimal(row["commission"]),
        commission_asset=row["commissionAsset"],
        traded_at=traded_at,
    )


def _price_commissions(fills: list[Fill], rules: SymbolRules | None, client: ExchangeClient) -> bool:
    """Note the quote price of each commission in a third asset (BNB), as of now; False if it can't be had."""
    for fill in fills:
        if rules is None or not fill.commission or fill.commission_asset in (rules.base, rules.quote):
            continue
        try:
            fill.commission_price = Decimal(client.price(f"{fill.commission_asset}{rules.quote}"))
        except ExchangeError as error:
            logger.warning("the price of %s can't be had yet: %s", fill.commission_asset, error)
            return False
    return True


def rebook(*, order: Order, state: BotState, rules: SymbolRules | None, now: datetime) -> None:
    """Recompute the bot's books from all its fills; write trades, position and the day's counters."""
    fills = list(Fill.objects.filter(bot_id=state.bot_id).order_by("traded_at", "trade_id"))
    books = fifo([_view(fill, rules) for fill in fills])
    _write_trades(fills, books, rules)
    last = max((fill.traded_at for fill in fills if fill.order_id == order.pk), default=now)
    positions.update(
        state=state,
        order=order,
        holdings=books.position + _executed_without_fills(state.bot_id),
        protection=_protection(order),
        rules=rules,
        filled_at=last,
        now=now,
    )
    state.realized_total = books.realized_total
    count_day(state, now)
    state.save()
    outbox.day_counted(order, state, now)


def _view(fill: Fill, rules: SymbolRules | None) -> FillView:
    return FillView(
        side="BUY" if fill.side == "BUY" else "SELL",
        quantity=fill.quantity,
        price=fill.price,
        commission=fill.commission,
        commission_asset=fill.commission_asset,
        base=rules.base if rules else fill.symbol.removesuffix("USDT"),
        quote=rules.quote if rules else "USDT",
        bnb_price=fill.commission_price,
        market=fill.market,
    )


def _executed_without_fills(bot_id: int) -> Decimal:
    """Signed base quantity that orders executed and whose fills are not booked yet."""
    total = ZERO
    for order in Order.objects.filter(bot_id=bot_id, fills_complete=False, executed_quantity__gt=0):
        booked = order.fills.aggregate(total=Sum("quantity"))["total"] or ZERO
        missing = order.executed_quantity - booked
        total += missing if order.side == "BUY" else -missing
    return total


def _write_trades(fills: list[Fill], books: Books, rules: SymbolRules | None) -> None:
    """One trade a filled order; those whose realised PnL a late fill changed are corrected."""
    realized: dict[int, Decimal] = defaultdict(Decimal)
    commission: dict[int, Decimal] = defaultdict(Decimal)
    last: dict[int, datetime] = {}
    for fill, pnl in zip(fills, books.realized, strict=True):
        if fill.order_id is None:
            continue
        realized[fill.order_id] += pnl
        commission[fill.order_id] += _commission_in_quote(fill, rules)
        last[fill.order_id] = fill.traded_at
    known = {trade.order_id: trade for trade in Trade.objects.filter(order_id__in=realized)}
    for order_id, trade in known.items():
        if trade.realized_pnl != realized[order_id]:
            Trade.objects.filter(pk=trade.pk).update(realized_pnl=realized[order_id])
    complete = Order.objects.filter(pk__in=set(realized) - set(known), fills_complete=True)
    for order in complete.select_related("bot__account"):
        trade = Trade.objects.create(
            bot_config_id=order.bot_id,
            user_id=order.bot.user_id,
            order=order,
            symbol=order.symbol,
            side=order.side,
            purpose=order.purpose,
            price=(order.executed_quote / order.executed_quantity).quantize(positions.PRICE_PLACES),
            quantity_filled=order.executed_quantity,
            commission_quote=commission[order.pk],
            realized_pnl=realized[order.pk],
            reason=order.reason,
            binance_order_id=order.exchange_order_id or 0,
            created_at=last[order.pk],
        )
        outbox.trade_made(trade, order)


def _commission_in_quote(fill: Fill, rules: SymbolRules | None) -> Decimal:
    if rules is not None and fill.commission_asset == rules.base:
        return fill.commission * fill.price
    if fill.commission_price is not None:
        return fill.commission * fill.commission_price
    return fill.commission


def _protection(order: Order) -> Protection:
    bot = order.bot

    def number(value: Decimal | None) -> float | None:
        return None if value is None else float(value)

    return Protection(
        stop_loss_perc=number(bot.stop_loss_perc),
        take_profit_perc=number(bot.take_profit_perc),
        trailing_stop_perc=number(bot.trailing_stop_perc),
        trailing_activation_perc=number(bot.trailing_activation_perc),
        trailing_step_perc=float(bot.trailing_step_perc),
    )


def count_day(state: BotState, now: datetime) -> None:
    """Set the counters of the UTC day of `now` from the trades; the caller saves."""
    day = now.astimezone(UTC).date()
    start = datetime.combine(day, time.min, UTC)
    sums = Trade.objects.filter(
        bot_config_id=state.bot_id, created_at__gte=start, created_at__lt=start + timedelta(days=1)
    ).aggregate(pnl=Sum("realized_pnl"), entries=Count("pk", filter=Q(purpose="ENTRY")))
    if state.trading_day != day:
        state.trading_day, state.daily_limit = day, ""
    state.daily_pnl = sums["pnl"] or ZERO
    state.daily_trades_count = sums["entries"]
