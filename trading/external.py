"""Trades that were not ours: by hand, or by the exchange itself. Booked as external fills, and told.

`reconcile` looks after a futures exit that found no position; `book` takes what a sweep has found.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Max, Min

from marketdata.types import SymbolRules
from tradebot.binance.client import ExchangeClient
from tradebot.clock import to_ms
from tradebot.errors import Transient
from trading import books, money, outbox
from trading.assets import assets_of
from trading.filters import format_decimal
from trading.holdings import expected_position
from trading.locks import lock_state
from trading.models import BotState, ExchangeAccount, Fill, Order, OrderRequest, Trade
from trading.orders import REJECTIONS_BEFORE_PAUSE
from trading.trades import EXTERNAL
from trading.wire import FillSaid, position_of, wire_of

logger = logging.getLogger(__name__)

PAGE = 1000
LOCK_SECONDS = 2
ORDERS_BEFORE = timedelta(hours=1)  # how long before its fill an order of the exchange's may be
# Client ids of orders that the exchange makes itself (USDS-M "Order Update": liquidation, ADL, delivery)
BY_EXCHANGE = {
    "autoclose-": "liquidated by the exchange",
    "adl_autoclose": "closed by the exchange's auto-deleveraging",
    "settlement_autoclose-": "closed by the exchange's settlement",
}
BY_HAND = "traded outside TradeBot"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found: how many fills were not ours, by whom, in one sentence."""

    fills: int
    by_exchange: bool
    text: str


def reconcile(bot_id: int, *, client: ExchangeClient, rules: SymbolRules | None, now: datetime) -> Reconciled:
    """Ask for the bot's position and the trades since its last fill, and book what was not ours.

    A liquidation (ADL, settlement) closes the position and the bot goes on; a trade by hand, or a position
    that no trade explains at the third look, holds it (drift). Raises BotBusy and the client's errors, with
    nothing written.
    """
    with transaction.atomic(durable=True):
        state = lock_state(bot_id, wait_seconds=LOCK_SECONDS)
        bot = state.bot
        theirs = position_of(client.position_risk(bot.symbol), bot.symbol)
        said = _unknown_fills(state, client)
        names = _client_ids(bot, said, client)
        own = _own_orders(bot, said, names)
        fills = [_row(bot, one, own.get(one.order_id)) for one in said]
        if not books.price_commissions(fills, rules, client):
            said, fills = [], []
        for one in said:
            money.settle_payment(bot.account_id, bot.market, one.changes, one.traded_at)
        Fill.objects.bulk_create(fills, ignore_conflicts=True)
        books.rebook(order=None, state=state, rules=rules, now=now)
        foreign = [one for one in said if one.order_id not in own]
        found = _judge(state, foreign, names, theirs, has_own=len(foreign) < len(said))
        _tell(state, foreign, found, now)
        return found


def book(
    account: ExchangeAccount,
    market: str,
    symbol: str,
    *,
    bot_id: int | None,
    said: list[FillSaid],
    names: dict[int, str],
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: datetime,
) -> Reconciled:
    """Book trades of orders that are not ours: to the bot whose position they changed, or to the account.

    `names` has the client id of each order. What is booked already is left out, so that twice is once. A
    bot is held (drift) unless it was the exchange itself. Raises BotBusy, with nothing written.
    """
    with transaction.atomic(durable=True):
        state = None if bot_id is None else lock_state(bot_id, wait_seconds=LOCK_SECONDS)
        ids = [one.trade_id for one in said]
        where = {"account_id": account.pk, "market": market, "symbol": symbol}
        booked = set(Fill.objects.filter(**where, trade_id__in=ids).values_list("trade_id", flat=True))
        said = [one for one in said if one.trade_id not in booked]
        fills = [_external(account.pk, market, symbol, bot_id, one) for one in said]
        if not said:
            return Reconciled(0, False, "")
        if not books.price_commissions(fills, rules, client):
            raise Transient(f"The price of a commission on {symbol} can't be had yet.")
        for one in said:
            moved = wire_of(market).executed(
                assets_of(symbol, rules), one.side, one.quantity, one.quantity * one.price
            )
            for changes in (moved, one.changes):
                money.settle_payment(account.pk, market, changes, one.traded_at)
        Fill.objects.bulk_create(fills, ignore_conflicts=True)
        reasons = {_who(names.get(one.order_id, "")) for one in said}
        found = Reconciled(len(said), BY_HAND not in reasons, _sentence(reasons, said))
        if state is not None:
            books.rebook(order=None, state=state, rules=rules, now=now)
            if not found.by_exchange:
                state.hold = state.hold or "drift"
            _tell(state, said, found, now)
        return found


def made_by_exchange(client_id: str) -> bool:
    """Whether the exchange itself made the order: liquidation, auto-deleveraging, settlement."""
    return client_id.startswith(tuple(BY_EXCHANGE))


def _sentence(reasons: set[str], said: list[FillSaid]) -> str:
    total = sum((one.quantity for one in said), Decimal(0))
    worth = sum((one.quantity * one.price for one in said), Decimal(0))
    what = f"{said[0].side} {format_decimal(total)} at {format_decimal((worth / total).normalize())}"
    return f"{' and '.join(sorted(reasons))}: {what}"


def _unknown_fills(state: BotState, client: ExchangeClient) -> list[FillSaid]:
    """The account's trades of the symbol since the position was opened that are not booked."""
    bot = state.bot
    known = Fill.objects.filter(account_id=bot.account_id, market=bot.market, symbol=bot.symbol)
    first = None
    if state.entry_time is not None:
        first = known.filter(traded_at__gte=state.entry_time).aggregate(first=Min("trade_id"))["first"]
    from_id = first or (known.aggregate(newest=Max("trade_id"))["newest"] or 0) + 1
    booked = set(known.filter(trade_id__gte=from_id).values_list("trade_id", flat=True))
    wire = wire_of(bot.market)
    rows: list[FillSaid] = []
    while True:
        page = client.my_trades(bot.symbol, from_id=from_id, limit=PAGE)
        rows += [wire.fill(row) for row in page if int(row["id"]) not in booked]
        if len(page) < PAGE:
            return rows
        from_id = int(page[-1]["id"]) + 1


def _client_ids(bot: Any, said: list[FillSaid], client: ExchangeClient) -> dict[int, str]:
    """By order number, the client id that tells who made it."""
    if not said:
        return {}
    since = min(one.traded_at for one in said) - ORDERS_BEFORE
    rows = client.all_orders(bot.symbol, start_ms=to_ms(since), limit=PAGE)
    return {int(row["orderId"]): str(row["clientOrderId"]) for row in rows}


def _own_orders(bot: Any, said: list[FillSaid], names: dict[int, str]) -> dict[int, Order]:
    """By number, which orders are the journal's: by their number, or by the client id of one in doubt."""
    ids = {one.order_id for one in said}
    same = Order.objects.filter(account_id=bot.account_id, market=bot.market, symbol=bot.symbol)
    by_number = same.filter(exchange_order_id__in=ids)
    own = {order.exchange_order_id: order for order in by_number if order.exchange_order_id is not None}
    in_doubt = {names[one]: one for one in ids if one in names and one not in own}
    for order in same.filter(client_order_id__in=in_doubt):
        own[in_doubt[order.client_order_id]] = order
    return own


def _row(bot: Any, said: FillSaid, order: Order | None) -> Fill:
    if order is not None:
        return books.own_fill(order, said)
    return _external(bot.account_id, bot.market, bot.symbol, bot.pk, said)


def _external(account_id: int, market: str, symbol: str, bot_id: int | None, said: FillSaid) -> Fill:
    return Fill(
        account_id=account_id,
        market=market,
        symbol=symbol,
        trade_id=said.trade_id,
        bot_id=bot_id,
        side=said.side,
        quantity=said.quantity,
        price=said.price,
        commission=said.commission,
        commission_asset=said.commission_asset,
        exchange_order_id=said.order_id,
        exchange_pnl=said.exchange_pnl,
        source="external",
        traded_at=said.traded_at,
    )


def _judge(
    state: BotState, foreign: list[FillSaid], names: dict[int, str], theirs: Decimal, *, has_own: bool
) -> Reconciled:
    """Who did it, and whether the books agree with the exchange now; sets the bot's hold."""
    ours = expected_position(state.bot.account_id, state.bot.market, state.bot.symbol)
    reasons = {_who(names.get(one.order_id, "")) for one in foreign}
    by_exchange = bool(foreign) and BY_HAND not in reasons
    if foreign and ours == theirs:
        state.rejections_in_a_row = 0
        if not by_exchange:
            state.hold = "drift"
        return Reconciled(len(foreign), by_exchange, _sentence(reasons, foreign))
    if has_own and not foreign and ours == theirs:
        state.rejections_in_a_row = 0
        return Reconciled(0, False, "an earlier order of ours had done it already")
    late = OrderRequest.objects.filter(bot_id=state.bot_id, lane="exit", state="LATE")
    if not foreign and late.exists():
        return Reconciled(0, False, "an earlier exit is in doubt; what it did is being asked for")
    state.rejections_in_a_row += 1
    if state.rejections_in_a_row >= REJECTIONS_BEFORE_PAUSE:
        state.hold = "orders" if ours == theirs else "drift"
    there, here = format_decimal(theirs), format_decimal(ours)
    text = (
        f"the exchange refuses to reduce the position of {there} that it shows"
        if ours == theirs
        else f"the exchange has a position of {there}, the journal of {here}; it is asked for again"
    )
    return Reconciled(len(foreign), False, text)


def _who(client_id: str) -> str:
    found = (words for prefix, words in BY_EXCHANGE.items() if client_id.startswith(prefix))
    return next(found, BY_HAND)


def _tell(state: BotState, foreign: list[FillSaid], found: Reconciled, now: datetime) -> None:
    """Write why on the trades and the state, and tell the owner, in the transaction that books it."""
    trades = Trade.objects.filter(
        bot_config_id=state.bot_id,
        purpose=EXTERNAL,
        binance_order_id__in={one.order_id for one in foreign},
    )
    trades.update(reason=found.text)
    for trade in trades:
        outbox.trade_made(trade, state.bot, now)
    if state.hold:
        outbox.held(state.bot, state.hold, found.text, now)
    state.status_reason = state.last_error_message = found.text
    if state.hold:
        state.status = f"paused ({state.hold})"
    elif state.in_position:
        state.status = "in position"
    else:
        state.status = "waiting" if state.bot.is_active else "paused"
    state.save(update_fields=["status", "status_reason", "last_error_message", "hold", "rejections_in_a_row"])
    logger.warning("bot %s: %s", state.bot_id, found.text)
