"""Place an order exactly once: a committed row, then one POST with the committed bytes, then the books."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from marketdata.types import SymbolRules
from tradebot.binance import outage
from tradebot.binance.client import Answer, ExchangeClient
from tradebot.errors import RiskVeto
from trading import limits, money, outbox, protocol, requests, setups
from trading.books import book_order
from trading.deployments import nonce_in_force
from trading.filters import check_order, lots_to_quantity
from trading.ids import client_id
from trading.locks import lock_state
from trading.models import BotState, Order, OrderRequest
from trading.payloads import OrderForm, order_request
from trading.types import Wish

logger = logging.getLogger(__name__)

# Refusals after which the signal may be tried again: clock, order count, request limit.
RETRIABLE_CODES = frozenset({-1021, -1015, -1003})
RETRIABLE_HTTP = frozenset({429, 418})
REJECTIONS_BEFORE_PAUSE = 3
REDUCE_ONLY_REJECTED = -2022  # futures: there is no position that the order could reduce
# Futures refusals by which the symbol's leverage or the account's mode is not what was remembered.
SETUP_CODES = frozenset({-2027, -2028, -4061})


@dataclass(frozen=True, slots=True)
class Target:
    """Who an order is for: ids and words that a request row needs."""

    bot_id: int
    account_id: int
    market: str
    symbol: str
    leverage: int = 1
    position_type: str = "long"


def lane_of(wish: Wish) -> str:
    """Whatever can enlarge the position is in the entry lane."""
    return "exit" if wish.purpose in ("EXIT", "STOP", "TARGET") else "entry"


def prepare(
    *,
    state: BotState,
    target: Target,
    wish: Wish,
    rules: SymbolRules,
    now: datetime,
    server_ms: int,
    marks: limits.Marks | None = None,
) -> OrderRequest:
    """Write the request and its order as PREPARED rows, reserve the money; the caller commits.

    The state row must be locked. `marks` are the limits across bots and the prices that they are reckoned
    with, None for an exit or where there are no limits. Raises RiskVeto, with nothing written, when a filter,
    the money, a limit or a constraint (one entry per signal, one open request per lane) forbids it.
    """
    quantity = lots_to_quantity(rules, wish.lots)
    price = Decimal(repr(wish.price)) if wish.price is not None else None
    lane = lane_of(wish)
    violations = check_order(
        rules,
        type=wish.type,
        quantity=quantity,
        price=price or Decimal(0),
        reduce_only=lane == "exit" and target.market == "futures",
    )
    if violations:
        raise RiskVeto("; ".join(violations))
    try:
        with transaction.atomic():
            reserved = (
                money.reserve(target, rules, quantity * (price or Decimal(0)))
                if lane == "entry"
                else money.Reservation(rules.quote, Decimal(0))
            )
            if lane == "entry" and marks is not None:
                limits.check(target, rules, quantity * (price or Decimal(0)), now, marks)
            return _insert(state, target, wish, quantity, lane, reserved, now, server_ms)
    except IntegrityError as error:
        constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "")
        raise RiskVeto(_constraint_text(constraint or "")) from None


def _constraint_text(constraint: str) -> str:
    return {
        "one_entry_per_signal": "this signal was used already",
        "one_open_request_per_bot_and_lane": "an earlier request is still open",
        "one_live_order_per_purpose_and_part": "such an order exists already",
    }.get(constraint, f"the journal refuses it ({constraint})")


def _insert(
    state: BotState,
    target: Target,
    wish: Wish,
    quantity: Decimal,
    lane: str,
    reserved: money.Reservation,
    now: datetime,
    server_ms: int,
) -> OrderRequest:
    state.seq += 1
    state.epoch += 1
    own_id = client_id(nonce_in_force(now), target.bot_id, state.seq)
    recv_window_ms = settings.TIMINGS.recv_window_ms
    form = OrderForm(target.market, target.symbol, wish.side, wish.type, quantity, own_id, lane)
    path, payload = order_request(form, ts_ms=server_ms, recv_window_ms=recv_window_ms)
    request = OrderRequest.objects.create(
        bot_id=target.bot_id,
        account_id=target.account_id,
        market=target.market,
        symbol=target.symbol,
        lane=lane,
        client_id=own_id,
        path=path,
        payload=payload,
        ts_ms=server_ms,
        recv_window_ms=recv_window_ms,
        epoch=state.epoch,
        created_at=now,
        reserved_asset=reserved.asset,
        reserved_amount=reserved.amount,
    )
    Order.objects.create(
        request=request,
        bot_id=target.bot_id,
        account_id=target.account_id,
        market=target.market,
        symbol=target.symbol,
        purpose=wish.purpose,
        part=wish.part,
        side=wish.side,
        type=wish.type,
        quantity=quantity,
        client_order_id=own_id,
        signal_time=wish.signal_time,
        signal_used=lane == "entry",
        reason=wish.reason,
        created_at=now,
        updated_at=now,
    )
    if lane == "entry":
        state.last_signal_time = wish.signal_time
    state.save(update_fields=["seq", "epoch", "last_signal_time"])
    return request


def send(
    request_id: int,
    *,
    bot_id: int,
    epoch: int,
    client: ExchangeClient,
    still_wanted: Callable[[BotState], str | None],
    rules: SymbolRules,
    now: Callable[[], datetime] = timezone.now,
) -> OrderRequest:
    """Send the committed request once, under the bot's lock, and book the answer in the same transaction.

    `still_wanted(state)` gives the reason why an entry is not wanted any more, or None; exits are not
    asked. Raises BotBusy when the lock can't be had within 2 s: the request stays PREPARED, for recovery.
    """
    with transaction.atomic(durable=True):
        state = lock_state(bot_id, wait_seconds=2)
        request = OrderRequest.objects.get(pk=request_id)
        if state.epoch != epoch or request.state != "PREPARED":
            return request
        refusal = _refusal(request, state, client.now_ms(), still_wanted)
        if refusal is not None:
            event: protocol.Event = protocol.NotSent(refusal)
            return _apply(request, state, event, None, client, rules, now())
        answer = client.post_order(request.path, request.payload)
        if answer.kind == "UNKNOWN":
            outage.note_unknown(client.source)
        event = protocol.Answered(
            kind=answer.kind,
            reason=_reason(answer),
            is_duplicate=answer.is_duplicate,
            hold_long=answer.hold_long,
        )
        request.code, request.http_status = answer.code, answer.http_status
        return _apply(request, state, event, answer, client, rules, now())


def _refusal(
    request: OrderRequest, state: BotState, now_ms: int, still_wanted: Callable[[BotState], str | None]
) -> str | None:
    if not protocol.may_send(requests.view(request), now_ms):
        return "not sent: half of its time window had passed"
    if request.lane == "entry":
        why_not = still_wanted(state)
        return f"not sent: {why_not}" if why_not else None
    return None


def _reason(answer: Answer) -> str:
    if answer.kind == "ACCEPTED":
        return "accepted"
    code = f" ({answer.code})" if answer.code is not None else ""
    return f"{answer.message}{code}"[:500] or answer.kind.lower()


def _apply(
    request: OrderRequest,
    state: BotState,
    event: protocol.Event,
    answer: Answer | None,
    client: ExchangeClient,
    rules: SymbolRules,
    now: datetime,
) -> OrderRequest:
    effects = requests.advance(request, event, client.now_ms(), now)
    for effect in effects:
        if isinstance(effect, protocol.Book):
            body: dict[str, Any] = answer.body if answer else {}
            state.rejections_in_a_row = 0  # booking saves the state
            book_order(request=request, state=state, body=body, client=client, rules=rules, now=now)
        elif isinstance(effect, protocol.Release):
            release(request, state, answer, now)
    return request


def release(request: OrderRequest, state: BotState, answer: Answer | None, now: datetime) -> None:
    """End the orders of a request that placed none; free its money and, where allowed, its signal."""
    retriable = request.state in ("NOT_SENT", "NOT_PLACED") or (
        request.code in RETRIABLE_CODES or request.http_status in RETRIABLE_HTTP
    )
    status = "REJECTED" if request.state == "REJECTED" else "NOT_PLACED"
    request.orders.update(
        status=status, live=False, fills_complete=True, signal_used=not retriable, updated_at=now
    )
    request.orders.exclude(purpose__in=["ENTRY", "DCA"]).update(signal_used=False)
    money.release(request)
    if retriable and request.lane == "entry":
        state.last_signal_time = _last_used_signal(request.bot_id)
    if request.market == "futures" and request.code in SETUP_CODES:
        setups.forget(request.account_id, request.symbol)
    if request.state == "REJECTED" and not retriable and not finds_no_position(request):
        state.rejections_in_a_row += 1
        if state.rejections_in_a_row >= REJECTIONS_BEFORE_PAUSE:
            state.hold = "orders"
    if answer is not None and answer.key_refused:
        state.hold = "key"
    state.save(update_fields=["last_signal_time", "rejections_in_a_row", "hold"])
    outbox.request_failed(request, state, now)
    logger.warning("request %s of bot %s: %s", request.client_id, request.bot_id, request.reason)


def finds_no_position(request: OrderRequest) -> bool:
    """Whether the exchange said that the position is gone or smaller: to be asked for, never repeated."""
    return (request.market, request.lane, request.code) == ("futures", "exit", REDUCE_ONLY_REJECTED)


def _last_used_signal(bot_id: int) -> datetime | None:
    used = Order.objects.filter(bot_id=bot_id, signal_used=True).order_by("-signal_time").first()
    return used.signal_time if used else None
