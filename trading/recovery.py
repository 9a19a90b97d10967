"""End doubts by asking: the only code that turns an unknown outcome into a known one."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from marketdata.types import SymbolRules
from tradebot import failpoints
from tradebot.binance.client import ExchangeClient
from tradebot.clock import from_ms
from tradebot.errors import ExchangeError, OrderNotFound
from trading import books, evidence, legs, money, orders, outbox, protocol, requests
from trading.evidence import Asked
from trading.locks import lock_state
from trading.models import BotState, Order, OrderRequest

logger = logging.getLogger(__name__)

ARCHIVED = -2026  # over 90 days old, and nothing of it was executed
OVER = frozenset({*books.TERMINAL, "FINISHED"})


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a look at a bot's doubts came to: how many ended, when to look again (None: nothing is open).

    `sellable` is what an exit may sell at most, in base units, while an earlier spot exit is LATE: the free
    coins if that one can't have sold any; None otherwise.
    """

    ended: int
    look_again_at: datetime | None
    sellable: Decimal | None = None


class Unfinished(ExchangeError):
    """Raised when an order that nobody wishes was found open and could not be withdrawn; ask again."""


@dataclass(slots=True)
class _Look:
    """One look at one doubt."""

    asked: Asked
    now: datetime
    server_ms: int | None = None

    @property
    def now_ms(self) -> int:
        """The exchange's clock: its own word of this look, else the estimate."""
        return self.server_ms or self.asked.client.now_ms()


def incomplete_orders(bot_id: int) -> QuerySet[Order]:
    """Orders that executed something and lack fills."""
    return Order.objects.filter(bot_id=bot_id, live=False, fills_complete=False, executed_quantity__gt=0)


def recover(bot_id: int, *, client: ExchangeClient, rules: SymbolRules | None, now: datetime) -> Recovered:
    """Look at each doubt of the bot that is due, and book what is found; under the bot's lock.

    Raises BotBusy when another run has the bot. A question that fails leaves its doubt as it is.
    """
    with transaction.atomic(durable=True):
        state = lock_state(bot_id)
        ended = 0
        waits: list[datetime] = []
        rows = OrderRequest.objects.select_for_update(no_key=True).filter(
            bot_id=bot_id, state__in=protocol.ASKED
        )
        late: OrderRequest | None = None
        for row in rows.order_by("id"):
            until_ms = _look(row, state, client, rules, now)
            if row.state in protocol.ASKED and until_ms is not None:
                waits.append(from_ms(until_ms))
            ended += row.state not in protocol.ASKED
            late = row if (row.state, row.market) == ("LATE", "spot") else late
        for order in incomplete_orders(bot_id):
            ended += books.complete_fills(order=order, state=state, client=client, rules=rules, now=now)
        sellable = _sellable(_asked(late, state, client, rules)) if late else None
        return Recovered(ended, min(waits, default=None), sellable)


def adopt(
    row: OrderRequest,
    body: dict[str, Any],
    *,
    state: BotState,
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: datetime,
) -> bool:
    """Book what somebody else found of a request (`body` as its POST answers); whether its state changed.

    For the sweep, under the bot's lock. NOT_PLACED becomes ACCEPTED and pauses the bot; what is open of a
    request that nobody counts on is withdrawn; a QUARANTINED one stays, for trading.quarantine. Raises the
    client's errors, with nothing written.
    """
    return _settle(row, protocol.Found(), body, state, client, rules, now)


def resolve(
    row: OrderRequest,
    event: protocol.Resolved,
    body: dict[str, Any],
    *,
    state: BotState,
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: datetime,
) -> bool:
    """End a quarantine as said, and book `body`; for trading.quarantine, under the bot's lock.

    Raises the client's errors, with nothing written.
    """
    return _settle(row, event, body, state, client, rules, now)


def _settle(
    row: OrderRequest,
    event: protocol.Event,
    body: dict[str, Any],
    state: BotState,
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: datetime,
) -> bool:
    look = _Look(_asked(row, state, client, rules), now)
    look.asked.body = body
    before = row.state
    with transaction.atomic():
        _carry_out(list(_advance(look, event)), look)
    return bool(row.state != before)


def _asked(row: OrderRequest, state: BotState, client: ExchangeClient, rules: SymbolRules | None) -> Asked:
    return Asked(row=row, orders=list(row.orders.all()), state=state, rules=rules, client=client)


def _look(
    row: OrderRequest, state: BotState, client: ExchangeClient, rules: SymbolRules | None, now: datetime
) -> int | None:
    """Carry out what the protocol asks for, until it says to wait or the doubt has ended."""
    look = _Look(_asked(row, state, client, rules), now)
    before = row.state
    try:
        with transaction.atomic():
            until_ms = _carry_out(list(_advance(look, protocol.Looked())), look)
    except Unfinished as error:  # found open, but not withdrawn: found again at the next look
        logger.warning("%s", error)
        row.refresh_from_db()
        state.refresh_from_db()
        until_ms = _carry_out(list(_advance(look, protocol.AskFailed())), look)
    if row.state != before:
        logger.info("doubt %s of bot %s: %s, %s", row.client_id, row.bot_id, row.state, row.reason)
    return until_ms


def _advance(look: _Look, event: protocol.Event) -> tuple[protocol.Effect, ...]:
    return requests.advance(look.asked.row, event, look.now_ms, look.now, look.asked.orders)


def _carry_out(effects: list[protocol.Effect], look: _Look) -> int | None:
    until_ms = None
    while effects:
        effect = effects.pop(0)
        if isinstance(effect, protocol.Wait):
            until_ms = effect.until_ms
        event = _ask(effect, look)
        failpoints.reached(f"recover.{type(effect).__name__.lower()}")
        if event is not None:
            effects = list(_advance(look, event))
        else:
            _do(effect, look)
    return until_ms


def _ask(effect: protocol.Effect, look: _Look) -> protocol.Event | None:
    """The answer to an effect that is a question, as an event; None for what is none."""
    questions = {
        protocol.Query: _query,
        protocol.Cancel: _cancel,
        protocol.Gather: lambda look: evidence.gather(look.asked),
        protocol.CheckExit: lambda look: evidence.check_exit(look.asked),
    }
    question = questions.get(type(effect))
    if question is None:
        return None
    try:
        return question(look)
    except ExchangeError as error:
        logger.warning("doubt %s: %s", look.asked.row.client_id, error)
        return protocol.Archived() if error.code == ARCHIVED else protocol.AskFailed()


def _query(look: _Look) -> protocol.Event:
    try:
        look.asked.body = legs.ask(look.asked.row, look.asked.client)
        return protocol.Found()
    except OrderNotFound:
        look.server_ms = look.asked.client.server_time_ms()  # by which windows are judged
        return protocol.NotFound()


def _cancel(look: _Look) -> protocol.Event:
    try:
        legs.cancel(look.asked.row, look.asked.client)
    except OrderNotFound:
        return protocol.BarrierPassed()
    look.asked.body = legs.ask(look.asked.row, look.asked.client)
    return protocol.Found()


def _do(effect: protocol.Effect, look: _Look) -> None:
    asked = look.asked
    row, state = asked.row, asked.state
    if isinstance(effect, protocol.Book):
        _book(look)
    elif isinstance(effect, protocol.Release):
        orders.release(row, state, None, look.now)
    elif isinstance(effect, protocol.Leave):
        row.orders.update(live=False, updated_at=look.now)
    elif isinstance(effect, protocol.Withdraw):
        _withdraw(look)
    elif isinstance(effect, protocol.Expire):
        row.orders.update(status="EXPIRED", live=False, fills_complete=True, updated_at=look.now)
        money.release(row)
    elif isinstance(effect, protocol.Pause):
        state.hold = effect.hold
        state.save(update_fields=["hold"])
        outbox.held(row.bot, effect.hold, row.reason, look.now)


def _book(look: _Look) -> None:
    asked = look.asked
    books.book_order(
        request=asked.row,
        state=asked.state,
        body=asked.body,
        client=asked.client,
        rules=asked.rules,
        now=look.now,
    )


def _withdraw(look: _Look) -> None:
    """Cancel what is open of a request that nobody counts on, and book it. Raises Unfinished."""
    row, client = look.asked.row, look.asked.client
    still_open = row.orders.exclude(status__in=OVER)
    if not still_open.exists():
        return
    still_open.filter(cancel_wanted_at__isnull=True).update(cancel_wanted_at=look.now)
    try:
        with contextlib.suppress(OrderNotFound):  # not open: what became of it, the next question tells
            legs.cancel(row, client)
        look.asked.body = legs.ask(row, client)
    except ExchangeError as error:
        raise Unfinished(f"order {row.client_id} can't be withdrawn yet: {error}") from None
    _book(look)
    if still_open.exists():
        raise Unfinished(f"order {row.client_id} is still open after it was cancelled")


def _sellable(asked: Asked) -> Decimal:
    """What an exit may sell, by the exchange's word now; nothing where it says nothing."""
    try:
        return evidence.sellable(asked)
    except ExchangeError as error:
        logger.warning("the coins that an exit may sell can't be asked for: %s", error)
        return Decimal(0)
