"""Place an order exactly once: a committed row, then one POST with the committed bytes, then the books."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from marketdata.types import SymbolRules
from tradebot import failpoints, rows
from tradebot.binance import outage
from tradebot.binance.answers import says_market_closed
from tradebot.binance.client import Answer, ExchangeClient
from tradebot.errors import RiskVeto
from trading import holdings, kill, limits, money, outbox, protocol, requests, setups
from trading.books import book_order
from trading.deployments import nonce_in_force
from trading.filters import check_order, lots_to_quantity, quantity_to_lots
from trading.ids import client_id
from trading.locks import lock_state, lock_state_and_request
from trading.models import BotState, Order, OrderRequest
from trading.payloads import CONDITIONAL, OrderForm, oco_request, order_request
from trading.plan import lane_of
from trading.types import Wish

logger = logging.getLogger(__name__)

# Refusals after which the signal may be tried again: clock, order count, request limit.
RETRIABLE_CODES = frozenset({-1021, -1015, -1003})
RETRIABLE_HTTP = frozenset({429, 418})
IS_ACTIVE = "(SELECT is_active AND deleted_at IS NULL FROM bots_botconfig WHERE id = %s)"
REJECTIONS_BEFORE_PAUSE = 3
# Behind the list's id: the ids of an OCO's legs. Capitals: a small letter is a digit of base 36, and the leg
# "s" of request 1 would have the id of request 1s, the 64th.
LEG_LETTERS = {"STOP": "S", "TARGET": "T"}
# A stop or target that the price has passed already (spot -2010 by its text, futures -2021).
WOULD_TRIGGER = ("would trigger immediately", "The relationship of the prices for the orders is not correct")
WOULD_TRIGGER_CODE = -2021
ORDERS_IN_THE_WAY = -4118  # futures: open reduce-only orders leave nothing for this one to reduce
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


def within(wishes: Sequence[Wish], sellable: Decimal | None, rules: SymbolRules) -> tuple[Wish, ...]:
    """The wishes of one request, exits cut down to what may be sold (base units; None: no bound); or none."""
    if sellable is None or lane_of(wishes[0]) == "entry":
        return tuple(wishes)
    most = quantity_to_lots(rules, sellable)
    return tuple(replace(wish, lots=min(wish.lots, most)) for wish in wishes) if most > 0 else ()


def prepare(
    *,
    state: BotState,
    target: Target,
    wishes: Sequence[Wish],
    rules: SymbolRules,
    now: datetime,
    server_ms: int,
    marks: limits.Marks | None = None,
    changed: Sequence[str] = (),
    nonce: str | None = None,
    may_follow_late: bool = True,
) -> OrderRequest:
    """Write the request and its orders as PREPARED rows, reserve the money; the caller commits.

    `wishes` are one order, or the stop and the target of a spot position, which become one OCO. The state row
    must be locked. `marks` are the limits across bots and the prices that they are reckoned with, None for an
    exit or where there are no limits. `changed` are fields of the state that the caller has changed and not
    saved: they are saved here, with the request. `nonce` is the deployment's as it was read under the lock,
    `may_follow_late` False where the bot is known to have no LATE exit. Raises RiskVeto, with nothing
    written, when a filter, the money, a limit or a constraint (one entry per signal, one open request per
    lane) forbids it.
    """
    lane = lane_of(wishes[0])
    quantity = lots_to_quantity(rules, wishes[0].lots)
    worth = quantity * (_decimal(wishes[0].price) or Decimal(0))
    for wish in wishes:
        _check_filters(rules, wish, quantity, reduce_only=lane == "exit" and target.market == "futures")
    try:
        with transaction.atomic():
            reserved = (
                money.reserve(target, rules, worth)
                if lane == "entry"
                else money.Reservation(rules.quote, Decimal(0))
            )
            if lane == "entry" and marks is not None:
                limits.check(target, rules, worth, now, marks)
            failpoints.reached("prepare.begin")
            request, legs = _new(state, target, wishes, quantity, reserved, now, server_ms, nonce)
            if lane == "exit" and target.market == "spot":
                request.base_before = holdings.base_known(target.account_id, target.symbol, rules.base)
            _insert(request, legs, rows.update(state, ("seq", "epoch", "last_signal_time", *changed)))
            failpoints.reached("prepare.inserted")
            if lane == "exit" and may_follow_late:
                requests.note_follower(request)
            return request
    except IntegrityError as error:
        constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "")
        raise RiskVeto(_constraint_text(constraint or "")) from None


def _check_filters(rules: SymbolRules, wish: Wish, quantity: Decimal, *, reduce_only: bool) -> None:
    prices = [_decimal(price) for price in (wish.price, wish.stop_price) if price is not None]
    for price in prices or [Decimal(0)]:
        violations = check_order(
            rules, type=wish.type, quantity=quantity, price=price or Decimal(0), reduce_only=reduce_only
        )
        if violations:
            raise RiskVeto("; ".join(violations))


def _decimal(price: float | None) -> Decimal | None:
    return None if price is None else Decimal(repr(price))


def _constraint_text(constraint: str) -> str:
    return {
        "one_entry_per_signal": "this signal was used already",
        "one_open_request_per_bot_and_lane": "an earlier request is still open",
        "one_live_order_per_purpose_and_part": "such an order exists already",
    }.get(constraint, f"the journal refuses it ({constraint})")


def _new(
    state: BotState,
    target: Target,
    wishes: Sequence[Wish],
    quantity: Decimal,
    reserved: money.Reservation,
    now: datetime,
    server_ms: int,
    nonce: str | None,
) -> tuple[OrderRequest, list[Order]]:
    """The request and its orders, not written yet; the state counts on."""
    state.seq += 1
    state.epoch += 1
    own_id = client_id(nonce or nonce_in_force(now), target.bot_id, state.seq)
    names = [own_id] if len(wishes) == 1 else [f"{own_id}{LEG_LETTERS[wish.purpose]}" for wish in wishes]
    forms = [_form(target, wish, quantity, name) for wish, name in zip(wishes, names, strict=True)]
    kind, path, payload = _said(own_id, forms, server_ms)
    lane = lane_of(wishes[0])
    common = {
        "bot_id": target.bot_id,
        "account_id": target.account_id,
        "market": target.market,
        "symbol": target.symbol,
        "created_at": now,
    }
    request = OrderRequest(
        **common,
        lane=lane,
        kind=kind,
        client_id=own_id,
        path=path,
        payload=payload,
        ts_ms=server_ms,
        recv_window_ms=settings.TIMINGS.recv_window_ms,
        epoch=state.epoch,
        reserved_asset=reserved.asset,
        reserved_amount=reserved.amount,
    )
    legs = [
        Order(
            **common,
            purpose=wish.purpose,
            part=wish.part,
            side=wish.side,
            type=wish.type,
            quantity=quantity,
            price=form.price,
            stop_price=form.stop_price,
            client_order_id=form.client_id,
            signal_time=wish.signal_time,
            signal_used=lane == "entry",
            reason=wish.reason,
            updated_at=now,
        )
        for wish, form in zip(wishes, forms, strict=True)
    ]
    if lane == "entry":
        state.last_signal_time = wishes[0].signal_time
    return request, legs


def _insert(request: OrderRequest, legs: Sequence[Order], state_changes: rows.Statement) -> None:
    """Write the state, the request and its orders in one round trip; the request gets its id."""
    parent = rows.insert([request])
    children = rows.insert(legs, instead={"request_id": "(SELECT id FROM request)"}, answer="request_id")
    both = rows.Statement(
        f"WITH request AS ({parent.sql}) {children.sql}", [*parent.values, *children.values]
    )
    rows.set_id(request, rows.run(state_changes, both)[0][0])


def _form(target: Target, wish: Wish, quantity: Decimal, name: str) -> OrderForm:
    """A MARKET order's price is what is expected, and no part of the order."""
    return OrderForm(
        target.market,
        target.symbol,
        wish.side,
        wish.type,
        quantity,
        name,
        lane_of(wish),
        price=None if wish.type == "MARKET" else _decimal(wish.price),
        stop_price=_decimal(wish.stop_price),
    )


def _said(own_id: str, forms: Sequence[OrderForm], server_ms: int) -> tuple[str, str, str]:
    """Kind, path and payload of the request."""
    times = {"ts_ms": server_ms, "recv_window_ms": settings.TIMINGS.recv_window_ms}
    if len(forms) == 2:
        path, payload = oco_request(own_id, forms[0], forms[1], **times)
        return OrderRequest.Kind.ORDER_LIST, path, payload
    path, payload = order_request(forms[0], **times)
    is_conditional = forms[0].market == "futures" and forms[0].type in CONDITIONAL
    return (OrderRequest.Kind.ALGO if is_conditional else OrderRequest.Kind.ORDER), path, payload


def send(
    request_id: int,
    *,
    bot_id: int,
    epoch: int,
    client: ExchangeClient,
    still_wanted: Callable[[BotState], str | None],
    rules: SymbolRules,
    now: Callable[[], datetime] = timezone.now,
    bot: Any = None,
) -> OrderRequest:
    """Send the committed request once, under the bot's lock, and book the answer in the same transaction.

    `bot` is the bot as it was read with its account a moment ago, where the caller has it; the state that was
    booked is left on it (bot.state). `still_wanted(state)` gives the reason why an entry is not wanted any
    more, or None; exits are not asked; state.bot.is_active is as of that moment. Raises BotBusy when the lock
    can't be had within 2 s: the request stays PREPARED, for recovery.
    """
    with transaction.atomic(durable=True):
        if bot is not None:
            state, request = lock_state_and_request(bot, request_id, wait_seconds=2)
        else:
            state = lock_state(bot_id, wait_seconds=2)
            request = OrderRequest.objects.get(pk=request_id)
        if state.epoch != epoch or request.state != "PREPARED":
            return request
        moment = now()
        refusal = _refusal(request, state, client.now_ms(moment), still_wanted)
        if refusal is not None:
            event: protocol.Event = protocol.NotSent(refusal)
            return _apply(request, state, event, None, client, rules, moment)
        failpoints.reached("send.begin")
        answer = client.post_order(request.path, request.payload)
        failpoints.reached("send.answered")
        if answer.kind == "UNKNOWN":
            outage.note_unknown(client.source)
        is_over = answer.kind == "ACCEPTED"  # then nothing is held, and Redis need not be asked
        event = protocol.Answered(
            kind=answer.kind,
            reason=_reason(answer),
            is_duplicate=answer.is_duplicate,
            hold_long=answer.hold_long or (not is_over and bool(outage.entries_stopped(client.source))),
        )
        request.code, request.http_status = answer.code, answer.http_status
        sent = _apply(request, state, event, answer, client, rules, now())
        failpoints.reached("send.booked")
        return sent


def _refusal(
    request: OrderRequest, state: BotState, now_ms: int, still_wanted: Callable[[BotState], str | None]
) -> str | None:
    if not protocol.may_send(requests.view(request), now_ms):
        return "not sent: half of its time window had passed"
    if request.lane == "entry":
        why_not, beside = kill.entries_barred_beside(state.bot, IS_ACTIVE, [state.bot_id])
        if why_not is None:
            (state.bot.is_active,) = beside
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
    effects = requests.advance(request, event, client.now_ms(now), now)
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
    if came_too_late(request):
        text = f"the price had passed the stop or target when it was placed: {request.reason}"
        state.exit_wanted = state.exit_wanted or text[:200]
        state.exit_wanted_since = state.exit_wanted_since or now
    elif request.state == "REJECTED" and not retriable and not _is_explained(request):
        state.rejections_in_a_row += 1
        if state.rejections_in_a_row >= REJECTIONS_BEFORE_PAUSE:
            state.hold = "orders"
    if answer is not None and answer.key_refused:
        state.hold = "key"
    state.save(
        update_fields=[
            "last_signal_time",
            "rejections_in_a_row",
            "hold",
            "exit_wanted",
            "exit_wanted_since",
        ]
    )
    outbox.request_failed(request, state, now)
    logger.warning("request %s of bot %s: %s", request.client_id, request.bot_id, request.reason)


def _is_explained(request: OrderRequest) -> bool:
    """Whether the refusal says nothing against the bot: the symbol is halted, or all may have been sold."""
    if finds_no_position(request) or says_market_closed(request.market, request.code, request.reason):
        return True
    late = OrderRequest.objects.filter(bot_id=request.bot_id, lane="exit", state="LATE")
    return request.lane == "exit" and late.exists()


def finds_no_position(request: OrderRequest) -> bool:
    """Whether the exchange said that the position is gone or smaller: to be asked for, never repeated."""
    return (request.market, request.lane, request.code) == ("futures", "exit", REDUCE_ONLY_REJECTED)


def came_too_late(request: OrderRequest) -> bool:
    """Whether a stop or target was refused because the price had passed it: then the position is left."""
    if request.state != "REJECTED" or request.lane != "exit":
        return False
    if request.market == "futures":
        return request.code == WOULD_TRIGGER_CODE
    return any(text in request.reason for text in WOULD_TRIGGER)


def _last_used_signal(bot_id: int) -> datetime | None:
    used = Order.objects.filter(bot_id=bot_id, signal_used=True).order_by("-signal_time").first()
    return used.signal_time if used else None
