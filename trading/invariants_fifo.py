"""I6, and I5 to the last digit: what is stored of realised PnL equals a recomputation from the fills."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from django.db.models import Q, Sum

from trading.books_fifo import FillView, fifo
from trading.compare import realized_differs
from trading.findings import Finding
from trading.models import Adjustment, BotState, Fill, FundingPayment, Order, Trade

ZERO = Decimal(0)
ROWS = 5000


def check(account_id: int | None, bot_id: int | None, since: datetime | None) -> list[Finding]:
    """Recompute the bots that traded, or were paid, since then; about 15 s for a million fills."""
    where = Q(bot__isnull=False)
    if account_id is not None:
        where &= Q(account_id=account_id)
    if bot_id is not None:
        where &= Q(bot_id=bot_id)
    if since is not None:
        bots = Fill.objects.filter(where, traded_at__gte=since).order_by().values("bot_id")
        paid = FundingPayment.objects.filter(paid_at__gte=since, bot__isnull=False).order_by()
        where &= Q(bot_id__in=bots.distinct()) | Q(bot_id__in=paid.values("bot_id").distinct())
    found: list[Finding] = []
    fills = Fill.objects.filter(where).order_by("bot_id", "traded_at", "trade_id").iterator(ROWS)
    for bot, rows in groupby(fills, key=lambda fill: fill.bot_id):
        if bot is not None:
            found += _bot(bot, list(rows))
    return found + list(_futures(where))


def _bot(bot_id: int, fills: list[Fill]) -> list[Finding]:
    account_id = fills[0].account_id

    def finding(invariant: str, about: str, sentence: str) -> Finding:
        return Finding(invariant, about, sentence, account_id=account_id, bot_id=bot_id)

    try:
        books = fifo([view(fill) for fill in fills])
    except ValueError as error:
        return [finding("I6", f"bot {bot_id}", f"its fills can't be added up: {error}")]
    found = []
    by_order: dict[tuple[int | None, int], Decimal] = defaultdict(Decimal)
    for fill, pnl in zip(fills, books.realized, strict=True):
        by_order[_key(fill.order_id, fill.exchange_order_id)] += pnl
    for trade in Trade.objects.filter(bot_config_id=bot_id).order_by("id").iterator(ROWS):
        mine = by_order.get(_key(trade.order_id, trade.binance_order_id))
        if mine is not None and mine != trade.realized_pnl:
            said, here = _text(trade.realized_pnl), _text(mine)
            found.append(finding("I6", f"trade {trade.pk}", f"realised {said}, its fills say {here}"))
    state = BotState.objects.filter(bot_id=bot_id).select_related("bot").first()
    if state is None:
        return found
    total = books.realized_total + _paid(state)
    if state.realized_total != total:
        said = f"realised {_text(state.realized_total)} in all, its fills and payments say {_text(total)}"
        found.append(finding("I6", f"bot {bot_id}", said))
    if any(_is_fee_in_base(fill) for fill in fills):
        size = books.position + _missing(bot_id) + _adjusted(bot_id)
        size = -size if state.bot.position_type == "short" else size
        if size != state.current_position_size_coins:
            held = _text(state.current_position_size_coins)
            found.append(
                finding("I5", f"bot {bot_id}", f"the position is {held}, the fills say {_text(size)}")
            )
    return found


def _key(order_id: int | None, exchange_order_id: int | None) -> tuple[int | None, int]:
    return (order_id, 0) if order_id is not None else (None, exchange_order_id or 0)


def view(fill: Fill) -> FillView:
    """A fill as the FIFO reads it; every symbol is quoted in USDT."""
    return FillView(
        side="BUY" if fill.side == "BUY" else "SELL",
        quantity=fill.quantity,
        price=fill.price,
        commission=fill.commission,
        commission_asset=fill.commission_asset,
        base=fill.symbol.removesuffix("USDT"),
        quote="USDT",
        bnb_price=fill.commission_price,
        market=fill.market,
    )


def _is_fee_in_base(fill: Fill) -> bool:
    return bool(
        fill.market == "spot"
        and fill.side == "SELL"
        and fill.commission
        and fill.commission_asset == fill.symbol.removesuffix("USDT")
    )


def _paid(state: BotState) -> Decimal:
    if state.bot.market != "futures":
        return ZERO
    paid = FundingPayment.objects.filter(bot_id=state.bot_id).aggregate(total=Sum("amount"))
    return paid["total"] or ZERO


def _missing(bot_id: int) -> Decimal:
    total = ZERO
    rows = Order.objects.filter(bot_id=bot_id, fills_complete=False, executed_quantity__gt=0)
    for order in rows.annotate(booked=Sum("fills__quantity")):
        missing = order.executed_quantity - (order.booked or ZERO)
        total += missing if order.side == "BUY" else -missing
    return total


def _adjusted(bot_id: int) -> Decimal:
    return Adjustment.objects.filter(bot_id=bot_id).aggregate(total=Sum("quantity"))["total"] or ZERO


def _futures(where: Q) -> Iterator[Finding]:
    """From flat to flat the fills' gross PnL is the exchange's own reckoning."""
    pairs = Fill.objects.filter(where, market="futures").order_by("account_id", "symbol")
    for account_id, symbol in pairs.values_list("account_id", "symbol").distinct():
        sentence = realized_differs(account_id, symbol)
        if sentence:
            yield Finding("I6", f"account {account_id} {symbol}", sentence, account_id=account_id)


def _text(value: Decimal) -> str:
    return f"{value.normalize() if value else ZERO:f}"
