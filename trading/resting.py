"""Orders that rest on the exchange: asked for, withdrawn, and booked under the bot's lock."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from marketdata.types import SymbolRules
from tradebot import failpoints, rows
from tradebot.binance.client import ExchangeClient
from tradebot.errors import ExchangeError, KeyRefused, OrderNotFound
from trading import legs
from trading.books import book_order
from trading.locks import lock_state
from trading.models import BotState, Order, OrderRequest
from trading.types import LiveOrder

logger = logging.getLogger(__name__)

LIVE = """
FROM trading_order JOIN trading_orderrequest ON trading_orderrequest.id = trading_order.request_id
WHERE trading_order.bot_id = ANY(%s) AND trading_order.live ORDER BY trading_order.bot_id, trading_order.id
"""
LOCK_SECONDS = 2


def live_orders(bot_ids: Sequence[int]) -> dict[int, list[Order]]:
    """By bot, the orders that may work on the exchange, each with its request."""
    found: dict[int, list[Order]] = {}
    answered = rows.run(rows.select_pairs(Order, OrderRequest, LIVE, [list(bot_ids)]))
    for order, request, _ in rows.made_pairs(Order, OrderRequest, answered):
        order.request = request
        found.setdefault(order.bot_id, []).append(order)
    return found


def as_live(order: Order, rules: SymbolRules | None) -> LiveOrder:
    """The order as decide() and plan.next_step() read it: what is left of it, in whole lots."""
    rest = order.quantity - order.executed_quantity
    return LiveOrder(
        purpose=order.purpose,  # type: ignore[arg-type]
        part=order.part,
        side=order.side,  # type: ignore[arg-type]
        type=order.type,
        lots=int(rest // rules.lot_step) if rules else 0,
        price=None if order.price is None else float(order.price),
        stop_price=None if order.stop_price is None else float(order.stop_price),
        client_order_id=order.client_order_id,
        request_id=order.request_id,
        in_doubt=order.request.state != OrderRequest.State.ACCEPTED,
    )


def is_due(orders: Sequence[Order], now: datetime) -> bool:
    """Whether a resting order is to be asked for: not for five minutes, or its end is wanted."""
    oldest = now - timedelta(seconds=settings.TIMINGS.order_max_age_seconds)
    return any(
        order.cancel_wanted_at is not None or (order.asked_at or order.created_at) <= oldest
        for order in orders
        if order.request.state == OrderRequest.State.ACCEPTED
    )


def is_passed(order: Order, price: float) -> bool:
    """Whether the last traded price has reached the order's stop, or the limit of a target."""
    level = order.stop_price if order.stop_price is not None else order.price
    if level is None:
        return False
    waits_for_fall = (order.purpose == "STOP") == (order.side == "SELL")
    return price <= float(level) if waits_for_fall else price >= float(level)


def ask(
    bot_id: int, *, client: ExchangeClient, rules: SymbolRules | None, now: Callable[[], datetime]
) -> bool:
    """Ask for the bot's accepted live orders, and book what became of them; True when one has traded.

    Raises BotBusy and KeyRefused; an order that can't be asked for now waits.
    """
    with transaction.atomic(durable=True):
        state = lock_state(bot_id, wait_seconds=LOCK_SECONDS)
        traded = False
        for request in _requests(bot_id):
            try:
                traded |= _book(request, state, client, rules, now)
            except KeyRefused:
                raise
            except ExchangeError as error:
                logger.warning("order %s: %s", request.client_id, error)
        return traded


def withdraw(
    request_id: int,
    bot_id: int,
    *,
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: Callable[[], datetime],
) -> bool:
    """Take the request's orders from the exchange and book what they had traded; True when all are over.

    A cancel is idempotent and leaves no doubt: what the exchange says of the orders afterwards counts.
    Raises BotBusy and the client's errors, with nothing changed: cancel_wanted_at, committed before, stays.
    """
    with transaction.atomic(durable=True):
        state = lock_state(bot_id, wait_seconds=LOCK_SECONDS)
        request = OrderRequest.objects.get(pk=request_id)
        if request.state != OrderRequest.State.ACCEPTED:
            return False
        # not open means filled, canceled or triggered: the question says which
        with contextlib.suppress(OrderNotFound):
            legs.cancel(request, client)
        failpoints.reached("withdraw.after_cancel")
        _book(request, state, client, rules, now)
        return not request.orders.filter(live=True).exists()


def _requests(bot_id: int) -> list[OrderRequest]:
    """Accepted requests with a live order, and late ones whose order was found open."""
    accepted = OrderRequest.objects.filter(bot_id=bot_id, state=OrderRequest.State.ACCEPTED)
    open_orders = Q(orders__live=True) | Q(
        orders__cancel_wanted_at__isnull=False, orders__fills_complete=False
    )
    return list(accepted.filter(open_orders).distinct().order_by("id"))


def _book(
    request: OrderRequest,
    state: BotState,
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: Callable[[], datetime],
) -> bool:
    try:
        body = legs.ask(request, client)
    except OrderNotFound:
        # we have its number: not a doubt, but a lag (docs/orders.md)
        logger.warning("order %s can't be found for now; it is asked for again", request.client_id)
        return False
    return bool(book_order(request=request, state=state, body=body, client=client, rules=rules, now=now()))
