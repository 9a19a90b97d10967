"""One run of one bot: recover, decide under the row lock, carry the difference out, one request at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from django.conf import settings
from django.db import transaction

from bots import futures, inbox, runs, services
from bots.models import BotConfig, BotRun
from bots.runs import RunResult
from bots.snapshot import MarketCache, snapshot
from marketdata import prices, symbols
from marketdata.types import Price, SymbolRules
from tradebot import clock
from tradebot.binance.client import ExchangeClient
from tradebot.errors import (
    BotBusy,
    ClientInitFailed,
    ExchangeError,
    IllegalTransition,
    KeyDecryptFailed,
    KeyRefused,
    LimitReached,
    RiskVeto,
)
from tradebot.logs import add_log_ids, log_context
from trading import limits, money, orders, outbox, positions, protocol, recovery, requests
from trading.accounts import client_for
from trading.books import count_day
from trading.decide import difference
from trading.locks import lock_state
from trading.models import BotState, Order, OrderRequest
from trading.models.journal import DOUBT_STATES, OPEN_STATES
from trading.types import Decision, LiveOrder, Wish

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Run:
    """What a run carries from transaction to transaction."""

    config: BotConfig
    trigger: str
    key: str
    slot: datetime
    now: Callable[[], datetime]
    client: ExchangeClient
    market: MarketCache
    fresh_price: Price | None = None
    price_error: str = ""
    row: BotRun | None = None
    requests: list[OrderRequest] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What T1 came to: a request to send, or the outcome of the run."""

    request: OrderRequest | None
    rules: SymbolRules | None
    outcome: str
    reasons: tuple[str, ...]


def run_bot(
    bot_id: int, *, trigger: str, key: str, slot: datetime, now: Callable[[], datetime] = clock.now
) -> RunResult:
    """Run the bot once, for real. Called by an actor or a command, never inside a transaction.

    A busy bot, or a run that was already made for this (trigger, key), ends at once and no order leaves.
    Failures are written to the bot's state (`error (...)`) and told in the result; other bots go on.
    """
    with log_context(bot=bot_id):
        return _run_bot(bot_id, trigger, key, slot, now)


def _run_bot(bot_id: int, trigger: str, key: str, slot: datetime, now: Callable[[], datetime]) -> RunResult:
    config = BotConfig.objects.select_related("account").get(pk=bot_id)
    try:
        client = client_for(config.account, config.market, "exit")
    except KeyDecryptFailed as error:
        return runs.fail(config, trigger, key, slot, "api key decrypt failed", str(error), now())
    except ClientInitFailed as error:
        return runs.fail(config, trigger, key, slot, "client init failed", str(error), now())
    run = _Run(config, trigger, key, slot, now, client, MarketCache([config], now()))
    try:
        return _run(run)
    except (BotBusy, IllegalTransition):
        return RunResult("busy")  # another worker has the bot, or ended the request meanwhile
    except KeyRefused as error:
        return runs.fail(config, trigger, key, slot, "api key refused", str(error), now(), hold="key")
    except ExchangeError as error:
        return runs.fail(config, trigger, key, slot, "exchange", str(error), now())


def _run(run: _Run) -> RunResult:
    deadline = time.monotonic() + settings.TIMINGS.run_budget_seconds
    bot_id = run.config.pk
    recovered = None
    if recovery.has_doubts(bot_id):
        rules = run.market.rules(run.config)
        recovered = recovery.recover(bot_id, client=run.client, rules=rules, now=run.now())
    _freshen(run)
    futures.make_sure(run.config, run.client, run.fresh_price, run.now())
    while True:
        prepared = _decide_and_prepare(run)
        if prepared.request is not None:
            sent = _send(run, prepared)
            if orders.finds_no_position(sent):
                gone = futures.book_gone(run.config, run.client, prepared.rules, run.now())
                prepared = replace(prepared, outcome="external")
                run.reasons.insert(0, gone.text)
            if sent.state == "ACCEPTED" and time.monotonic() < deadline and _is_more_to_do(run):
                continue
        elif prepared.outcome != "in flight" and inbox.has_open(bot_id) and time.monotonic() < deadline:
            continue
        break
    result = runs.finish(run.row, run.config, run.requests, prepared.outcome, run.reasons, run.now())
    look_again_at = recovered.look_again_at if recovered else None
    if run.requests and run.requests[-1].state in OPEN_STATES:
        look_again_at = run.requests[-1].next_ask_at
    return RunResult(result, tuple(run.reasons), look_again_at)


def _freshen(run: _Run) -> None:
    """Before the lock: a balance older than 60 s is asked for, and a price that the feed does not have."""
    now = run.now()
    if run.market.rules(run.config) is None and symbols.refresh_if_missing(run.client.source):
        run.market = MarketCache([run.config], now)
    rules = run.market.rules(run.config)
    quote = rules.quote if rules else "USDT"
    if not money.is_fresh(run.config.account_id, run.config.market, quote, now):
        money.refresh(run.config.account_id, run.config.market, quote, run.client, now)
    price = run.market.view(run.config).price
    if price is not None and (now - price.at).total_seconds() <= settings.TIMINGS.price_max_age_seconds:
        return
    try:
        run.fresh_price = Price(float(run.client.price(run.config.symbol)), now)
    except KeyRefused:
        raise
    except ExchangeError as error:
        run.price_error = str(error)
    else:
        prices.store(run.client.source, {run.config.symbol: run.fresh_price.price}, now)


def _decide_and_prepare(run: _Run) -> _Prepared:
    """T1: under the lock, read the inbox, decide, and commit the first request of the difference."""
    now = run.now()
    with transaction.atomic(durable=True):
        state = lock_state(run.config.pk)
        config = state.bot
        if config.version != run.config.version:
            run.market = MarketCache([config], now)
        run.config = config
        taken = inbox.take(state, config, now)
        doubts = list(OrderRequest.objects.filter(bot_id=config.pk, state__in=DOUBT_STATES))
        in_flight = _in_flight(run, doubts)
        lanes = {row.lane for row in doubts}
        view = snapshot(config, state, run.market, lanes)
        seen = run.market.view(config, run.fresh_price)
        decision = futures.decide_entries(config, view.bot, view.state, seen, now)
        _remember(state, decision, run, now)
        services.claim_release(bot=config, state=state)
        prepared = _prepare(run, state, decision, run.market.rules(config), lanes, in_flight, now)
        inbox.answer(taken, prepared.reasons, now)
        if prepared.request is not None or not run.requests:
            run.reasons += prepared.reasons  # why it traded, not why it holds afterwards
        return prepared


def _in_flight(run: _Run, doubts: Iterable[OrderRequest]) -> bool:
    now_ms = run.client.now_ms()
    return any(protocol.in_flight(requests.view(row), now_ms, settings.TIMINGS) for row in doubts)


def _remember(state: BotState, decision: Decision, run: _Run, now: datetime) -> None:
    """Keep what the decision says must outlive this look: wanted exit, moved stop, status and why."""
    if decision.exit_wanted and not state.exit_wanted:
        state.exit_wanted, state.exit_wanted_since = decision.exit_wanted[:200], now
    if decision.trailing_stop_price is not None:
        state.trailing_stop_price = Decimal(repr(decision.trailing_stop_price))
    if decision.daily_limit is not None:
        count_day(state, now)
        state.daily_limit = decision.daily_limit
        outbox.day_limit_reached(run.config, decision.daily_limit, now)
    state.status = decision.status
    state.status_reason = decision.reasons[0] if decision.reasons else ""
    if run.price_error and not decision.wishes:
        state.status = "error (price fetch failed)"
        state.last_error_message = run.price_error
    state.last_run_at = now
    state.save(
        update_fields=[
            "exit_wanted",
            "exit_wanted_since",
            "trailing_stop_price",
            "trading_day",
            "daily_pnl",
            "daily_trades_count",
            "daily_limit",
            "status",
            "status_reason",
            "last_error_message",
            "last_run_at",
        ]
    )


def _prepare(
    run: _Run,
    state: BotState,
    decision: Decision,
    rules: SymbolRules | None,
    lanes: set[str],
    in_flight: bool,
    now: datetime,
) -> _Prepared:
    live = _live_orders(run.config.pk, rules)
    if decision.is_dust and rules is not None and not live and not lanes:
        written_off = _dust(run, state, rules, now)
        if written_off is not None:
            return written_off
    _, place = difference(decision.wishes, live)
    place = tuple(wish for wish in place if orders.lane_of(wish) not in lanes)
    if in_flight:
        return _Prepared(None, rules, "in flight", ("an order is on its way",))
    if not place or rules is None:
        return _Prepared(None, rules, "held", decision.reasons)
    wish = place[0]
    if run.row is None:
        run.row = runs.begin(run.config, run.trigger, run.key, run.slot, state.epoch + 1, now)
        if run.row is None:
            return _Prepared(None, rules, "already run", ("this run was made before",))
        add_log_ids(run=run.row.pk)
    target = _target(run.config)
    marks = limits.marks_for(run.config.account, now) if orders.lane_of(wish) == "entry" else None
    try:
        request = orders.prepare(
            state=state,
            target=target,
            wish=wish,
            rules=rules,
            now=now,
            server_ms=run.client.now_ms(),
            marks=marks,
        )
    except RiskVeto as veto:
        if isinstance(veto, LimitReached):
            limits.note_reached(veto, now)
            outbox.shared_limit_reached(run.config, veto, now)
        return _refused(state, decision, wish, rules, str(veto))
    run.requests.append(request)
    return _Prepared(request, rules, "traded", decision.reasons)


def _target(config: BotConfig) -> orders.Target:
    return orders.Target(
        config.pk,
        config.account_id,
        config.market,
        config.symbol,
        leverage=config.leverage,
        position_type=config.position_type,
    )


def _dust(run: _Run, state: BotState, rules: SymbolRules, now: datetime) -> _Prepared | None:
    """A position that should be left and that the exchange would not take is written off."""
    price = run.market.view(run.config, run.fresh_price).price
    at = None if price is None else Decimal(repr(price.price))
    reason = positions.write_off_unsellable(state=state, rules=rules, price=at, now=now)
    if reason is None:
        return None
    state.status, state.status_reason = "waiting" if run.config.is_active else "paused", reason
    state.save(update_fields=["status", "status_reason"])
    services.claim_release(bot=run.config, state=state)
    return _Prepared(None, rules, "dust", (reason,))


def _refused(state: BotState, decision: Decision, wish: Wish, rules: SymbolRules, veto: str) -> _Prepared:
    state.status = "in position" if wish.purpose == "EXIT" else "waiting"
    state.status_reason = veto
    state.save(update_fields=["status", "status_reason"])
    return _Prepared(None, rules, "refused", (veto, *decision.reasons))


def _live_orders(bot_id: int, rules: SymbolRules | None) -> list[LiveOrder]:
    return [
        LiveOrder(
            purpose=order.purpose,  # type: ignore[arg-type]
            part=order.part,
            side=order.side,  # type: ignore[arg-type]
            type=order.type,
            lots=int(order.quantity // rules.lot_step) if rules else 0,
            price=None if order.price is None else float(order.price),
            stop_price=None if order.stop_price is None else float(order.stop_price),
            client_order_id=order.client_order_id,
        )
        for order in Order.objects.filter(bot_id=bot_id, live=True)
    ]


def _send(run: _Run, prepared: _Prepared) -> OrderRequest:
    """T2: send the committed request, then say on the state what came of it."""
    request = prepared.request
    if request is None or prepared.rules is None:
        raise IllegalTransition("there is nothing to send")
    add_log_ids(request=request.client_id)
    sent = orders.send(
        request.pk,
        bot_id=run.config.pk,
        epoch=request.epoch,
        client=run.client.for_lane(_lane(request)),
        still_wanted=_why_not_wanted,
        rules=prepared.rules,
        now=run.now,
    )
    run.requests[-1] = sent
    if sent.state != "ACCEPTED" and not orders.finds_no_position(sent):
        runs.note_outcome(run.config.pk, sent)
    return sent


def _is_more_to_do(run: _Run) -> bool:
    """After an order, without the lock, as a screen looks: is a difference or mail left? Then T1 runs again.

    If not, what this look says is written as the status, fenced by the epoch like a screen's.
    """
    config, now = run.config, run.now()
    state = BotState.objects.get(bot_id=config.pk)
    if state.exit_wanted or not config.is_active or inbox.has_open(config.pk):
        return True
    view = snapshot(config, state, run.market, ())
    seen = run.market.view(config, run.fresh_price)
    decision = futures.decide_entries(config, view.bot, view.state, seen, now)
    if decision.acts:
        return True
    reason = decision.reasons[0] if decision.reasons else ""
    BotState.objects.filter(bot_id=config.pk, epoch=state.epoch).update(
        status=decision.status, status_reason=reason
    )
    return False


def _lane(request: OrderRequest) -> Literal["entry", "exit"]:
    return "entry" if request.lane == "entry" else "exit"


def _why_not_wanted(state: BotState) -> str | None:
    """Why an entry that was committed is not wanted any more: the bot's will is read again under the lock."""
    is_active = BotConfig.objects.filter(pk=state.bot_id, is_active=True, deleted_at__isnull=True)
    if not is_active.exists():
        return "the bot was paused"
    if state.hold:
        return f"the bot is paused ({state.hold})"
    if state.exit_wanted:
        return state.exit_wanted
    return None
