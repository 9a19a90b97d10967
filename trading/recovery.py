"""End doubts by asking: the only code that turns an unknown outcome into a known one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from marketdata.types import SymbolRules
from tradebot import failpoints
from tradebot.binance.client import ExchangeClient
from tradebot.clock import from_ms
from tradebot.errors import ExchangeError, OrderNotFound
from trading import books, holdings, orders, outbox, protocol, requests
from trading.ids import PREFIX
from trading.locks import lock_state
from trading.models import BotState, Order, OrderRequest
from trading.models.journal import OPEN_STATES

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a look at a bot's doubts came to: how many ended, when to look again (None: nothing is open)."""

    ended: int
    look_again_at: datetime | None


@dataclass(slots=True)
class _Context:
    client: ExchangeClient
    rules: SymbolRules | None
    now: datetime
    body: dict[str, Any] | None = None  # the exchange's last word on the order
    server_ms: int | None = None


def has_doubts(bot_id: int) -> bool:
    """Whether the bot has a request whose outcome is open, or an order whose fills are not all booked."""
    return (
        OrderRequest.objects.filter(bot_id=bot_id, state__in=OPEN_STATES).exists()
        or incomplete_orders(bot_id).exists()
    )


def incomplete_orders(bot_id: int) -> Any:
    """Orders that executed something and lack fills."""
    return Order.objects.filter(bot_id=bot_id, live=False, fills_complete=False, executed_quantity__gt=0)


def recover(bot_id: int, *, client: ExchangeClient, rules: SymbolRules | None, now: datetime) -> Recovered:
    """Look at each open doubt of the bot that is due, and book what is found; under the bot's lock.

    Raises BotBusy when another run has the bot, and the client's errors only for what can't be told
    apart from a broken account (key refused, limit): the doubts stay open.
    """
    with transaction.atomic(durable=True):
        state = lock_state(bot_id)
        ended = 0
        waits: list[datetime] = []
        rows = OrderRequest.objects.select_for_update(no_key=True).filter(
            bot_id=bot_id, state__in=OPEN_STATES
        )
        for row in rows.order_by("id"):
            context = _Context(client=client, rules=rules, now=now)
            until_ms = _look(row, state, context)
            if row.state in OPEN_STATES and until_ms is not None:
                waits.append(from_ms(until_ms))
            ended += row.state not in OPEN_STATES
        for order in incomplete_orders(bot_id):
            ended += books.complete_fills(order=order, state=state, client=client, rules=rules, now=now)
        return Recovered(ended, min(waits, default=None))


def _look(row: OrderRequest, state: BotState, context: _Context) -> int | None:
    """Carry out what the protocol asks for, until it says to wait or the doubt has ended."""
    effects = list(requests.advance(row, protocol.Looked(), context.client.now_ms(), context.now))
    until_ms = None
    while effects:
        effect = effects.pop(0)
        if isinstance(effect, protocol.Wait):
            until_ms = effect.until_ms
        event = _perform(effect, row, state, context)
        failpoints.reached(f"recover.{type(effect).__name__.lower()}")
        if event is not None:
            now_ms = context.server_ms or context.client.now_ms()
            effects = list(requests.advance(row, event, now_ms, context.now))
    if row.state not in OPEN_STATES:
        logger.info("doubt %s of bot %s ended: %s, %s", row.client_id, row.bot_id, row.state, row.reason)
    return until_ms


def _perform(
    effect: protocol.Effect, row: OrderRequest, state: BotState, context: _Context
) -> protocol.Event | None:
    if isinstance(effect, protocol.Query):
        return _query(row, context)
    if isinstance(effect, protocol.Cancel):
        return _cancel(row, context)
    if isinstance(effect, protocol.Gather):
        return _gather(row, context)
    if isinstance(effect, protocol.Book):
        books.book_order(
            request=row,
            state=state,
            body=context.body or {},
            client=context.client,
            rules=context.rules,
            now=context.now,
        )
    elif isinstance(effect, protocol.Release):
        orders.release(row, state, None, context.now)
    elif isinstance(effect, protocol.Pause):
        state.hold = effect.hold
        state.save(update_fields=["hold"])
        outbox.held(row.bot, effect.hold, row.reason, context.now)
    return None


def _query(row: OrderRequest, context: _Context) -> protocol.Event:
    try:
        context.body = context.client.order(row.symbol, row.client_id)
        return protocol.Found()
    except OrderNotFound:
        return _server_time(context) or protocol.NotFound()
    except ExchangeError as error:
        logger.warning("doubt %s: %s", row.client_id, error)
        return protocol.AskFailed()


def _server_time(context: _Context) -> protocol.Event | None:
    """Note the exchange's own clock, by which windows are judged."""
    try:
        context.server_ms = context.client.server_time_ms()
    except ExchangeError:
        return protocol.AskFailed()
    return None


def _cancel(row: OrderRequest, context: _Context) -> protocol.Event:
    try:
        context.client.cancel_order(row.symbol, row.client_id)
        context.body = context.client.order(row.symbol, row.client_id)
        return protocol.Found()
    except OrderNotFound:
        return protocol.BarrierPassed()
    except ExchangeError as error:
        logger.warning("doubt %s: the engine did not answer: %s", row.client_id, error)
        return protocol.AskFailed()


def _gather(row: OrderRequest, context: _Context) -> protocol.Event:
    """Orders and trades since just before the request, and what is held: do they know of it?"""
    since_ms = row.ts_ms - 1000
    try:
        known_orders = context.client.all_orders(row.symbol, start_ms=since_ms)
        mine = next((one for one in known_orders if one["clientOrderId"] == row.client_id), None)
        if mine is not None:
            context.body = mine
            return protocol.Found()
        trades = context.client.my_trades(row.symbol, start_ms=since_ms)
        difference = (
            _unknown_order(row, known_orders)
            or _unknown_trade(row, trades)
            or holdings.differs(row, context.rules, context.client)
        )
    except ExchangeError as error:
        logger.warning("doubt %s: evidence can't be had: %s", row.client_id, error)
        return protocol.AskFailed()
    if difference:
        return protocol.Evidence(False, difference)
    return protocol.Evidence(True, "the exchange has no such order, no trade of it, and the balance agrees")


def _unknown_order(row: OrderRequest, found: list[dict[str, Any]]) -> str | None:
    ours = {one["clientOrderId"] for one in found if one["clientOrderId"].startswith(PREFIX)}
    known = set(Order.objects.filter(client_order_id__in=ours).values_list("client_order_id", flat=True))
    unknown = sorted(ours - known)
    return f"the exchange has an order that the journal lacks: {unknown[0]}" if unknown else None


def _unknown_trade(row: OrderRequest, trades: list[dict[str, Any]]) -> str | None:
    if not row.account.is_exclusive:
        return None
    ids = {int(one["orderId"]) for one in trades}
    known = set(
        Order.objects.filter(
            account_id=row.account_id, market=row.market, symbol=row.symbol, exchange_order_id__in=ids
        ).values_list("exchange_order_id", flat=True)
    )
    unknown = sorted(ids - known)
    return f"the exchange has trades of an order that the journal lacks: {unknown[0]}" if unknown else None
