"""T1 of a run: under the bot's lock, read the inbox, decide, and commit the next step of the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from bots import futures, inbox, probes, runs, services
from bots.models import BotConfig, BotRun
from bots.snapshot import MarketCache, snapshot
from marketdata.types import Price, SymbolRules
from tradebot import rows
from tradebot.binance.client import ExchangeClient
from tradebot.errors import LimitReached, RiskVeto
from tradebot.logs import add_log_ids
from tradebot.rows import Statement
from trading import kill, limits, orders, outbox, plan, positions, protocol, requests, resting
from trading.books import count_day
from trading.decide import decide
from trading.locks import lock_state_again
from trading.models import BotState, Order, OrderRequest
from trading.models.journal import DOUBT_STATES
from trading.types import Decision, Wish

DOUBTS = "WHERE bot_id = %s AND state = ANY(%s) ORDER BY id DESC"
REMEMBERED = (
    "exit_wanted",
    "exit_wanted_since",
    "trailing_stop_price",
    "stop_passed_at",
    "naked_since",
    "naked_longest_seconds",
    "trading_day",
    "daily_pnl",
    "daily_trades_count",
    "daily_limit",
    "hold",
    "status",
    "status_reason",
    "last_error_message",
    "last_run_at",
)


@dataclass(slots=True)
class Run:
    """What a run carries from transaction to transaction."""

    config: BotConfig
    row_version: str  # of the config's row, as probes.look() gives it
    trigger: str
    key: str
    slot: datetime
    now: Callable[[], datetime]
    client: ExchangeClient
    market: MarketCache
    started: datetime
    fresh_price: Price | None = None
    price_error: str = ""
    row: BotRun | None = None
    requests: list[OrderRequest] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    withdraw_first: bool = False  # futures: the exit was refused because of the orders that rest
    look_again_at: datetime | None = None
    has_filled: bool = False  # an order that rested on the exchange was found to have traded
    sellable: Decimal | None = None  # base units that an exit may sell, while an earlier one is LATE
    asked: list[int] = field(default_factory=list)  # news of orders that the exchange was asked about
    said: Statement | None = None  # writes the status that the last look came to
    looked_at: datetime | None = None  # when that was


@dataclass(frozen=True, slots=True)
class Prepared:
    """What T1 came to: a request to send, orders of a request to withdraw, or the outcome of the run."""

    request: OrderRequest | None
    rules: SymbolRules | None
    outcome: str
    reasons: tuple[str, ...]
    withdrawal: int | None = None  # id of the request whose orders are to be taken back


@dataclass(frozen=True, slots=True)
class Extras:
    """What T1 saw under the lock that a new request needs to know."""

    nonce: str | None
    has_limits: bool  # of the account or its owner; asked for entries only
    has_late: bool


def decide_and_prepare(run: Run) -> Prepared:
    """Decide under the lock and commit the first step of the difference. Raises BotBusy."""
    now = run.now()
    with transaction.atomic(durable=True):
        state = lock_state_again(run.config)
        found = probes.look(run.config.pk)
        state.bot = config = _as_it_is_now(run, found, now)
        taken = inbox.take(state, now, run.asked) if found.has_mail or state.exit_wanted else []
        doubts = rows.read(OrderRequest, DOUBTS, [config.pk, list(DOUBT_STATES)]) if found.has_doubts else []
        in_flight = _in_flight(run, doubts, now)
        lanes = protocol.bars(requests.view(row) for row in doubts)
        live = resting.live_orders([config.pk]).get(config.pk, []) if found.has_live else []
        view = snapshot(config, state, run.market, lanes, live)
        seen = run.market.view(config, run.fresh_price)
        decision = futures.decide_entries(config, view.bot, view.state, seen, now)
        has_limits = False
        if _enters(decision):
            barred, beside = kill.entries_barred_beside(config, limits.EXIST, limits.whose(config.account))
            if barred:
                decision = decide(view.bot, view.state, replace(seen, kill_switch=barred), now)
            else:
                (has_limits,) = beside
        _remember(state, decision, run, live, now)
        services.claim_release(bot=config, state=state)
        if in_flight:
            prepared = Prepared(None, None, "in flight", ("an order is on its way",))
        else:
            step = plan.next_step(
                decision.wishes,
                view.state.live,
                market=config.market,
                busy_lanes=lanes,
                withdraw_first=run.withdraw_first,
            )
            extras = Extras(found.nonce, has_limits, any(row.state == "LATE" for row in doubts))
            prepared = _prepare(run, state, decision, step, extras, now)
        if prepared.request is None:
            rows.run(rows.update(state, REMEMBERED))
        inbox.answer(taken, prepared.reasons, now)
        if prepared.outcome == "traded" or not run.requests:
            run.reasons += prepared.reasons  # why it traded, not why it holds afterwards
        return prepared


def _enters(decision: Decision) -> bool:
    return any(plan.lane_of(wish) == "entry" for wish in decision.wishes)


def is_more_to_do(run: Run) -> bool:
    """After an order, without the lock, as a screen looks: is a difference or mail left? Then T1 runs again.

    T2 has left the state that it booked on the bot. If nothing is left, what this look says becomes the
    status when the run is closed, fenced by the epoch like a screen's.
    """
    config, now = run.config, run.now()
    state: BotState = config.state  # type: ignore[attr-defined]
    found = probes.look(config.pk)
    if state.exit_wanted or not config.is_active or found.has_mail or found.row_version != run.row_version:
        return True
    live = resting.live_orders([config.pk]).get(config.pk, []) if found.has_live else []
    view = snapshot(config, state, run.market, (), live)
    seen = run.market.view(config, run.fresh_price)
    decision = futures.decide_entries(config, view.bot, view.state, seen, now)
    if decision.has_news or plan.next_step(decision.wishes, view.state.live, market=config.market):
        return True
    state.status, state.status_reason = decision.status, decision.reasons[0] if decision.reasons else ""
    run.looked_at = now
    run.said = rows.update(state, ("status", "status_reason"), "AND epoch = %s", [state.epoch])
    return False


def _as_it_is_now(run: Run, found: probes.Found, now: datetime) -> BotConfig:
    """The bot under its lock: read again, and its market with it, if it was changed since the run began."""
    if found.row_version != run.row_version:
        account = run.config.account
        run.config, run.row_version = probes.read_bot(run.config.pk)
        if run.config.account_id == account.pk:
            run.config.account = account
        run.market = MarketCache([run.config], now)
    return run.config


def _in_flight(run: Run, doubts: Sequence[OrderRequest], now: datetime) -> bool:
    if not doubts:
        return False
    now_ms = run.client.now_ms(now)
    return any(protocol.in_flight(requests.view(row), now_ms, settings.TIMINGS) for row in doubts)


def _remember(state: BotState, decision: Decision, run: Run, live: Sequence[Order], now: datetime) -> None:
    """Keep what the decision says must outlive this look: wanted exit, moved stop, status and why.

    These are the fields REMEMBERED, saved with the request, or where there is none at the end.
    """
    if decision.exit_wanted and not state.exit_wanted:
        state.exit_wanted, state.exit_wanted_since = decision.exit_wanted[:200], now
    if decision.trailing_stop_price is not None:
        state.trailing_stop_price = Decimal(repr(decision.trailing_stop_price))
    if decision.daily_limit is not None:
        count_day(state, now)
        state.daily_limit = decision.daily_limit
        outbox.day_limit_reached(run.config, decision.daily_limit, now)
    if decision.stop_passed != (state.stop_passed_at is not None):
        state.stop_passed_at = now if decision.stop_passed else None
    if decision.stop_passed:
        run.look_again_at = now + timedelta(seconds=settings.TIMINGS.stop_grace_seconds)
    positions.note_stop(state, is_live=_has_stop(live), now=now)
    state.status = decision.status
    state.status_reason = decision.reasons[0] if decision.reasons else ""
    if run.price_error and not decision.wishes:
        state.status = "error (price fetch failed)"
        state.last_error_message = run.price_error
    if state.in_position and run.market.is_gone(run.config):
        _hold_for_symbol(state, run.config, now)
    state.last_run_at = now


def _hold_for_symbol(state: BotState, config: BotConfig, now: datetime) -> None:
    """A position in a symbol that the exchange no longer lists waits for its owner: no order can end it."""
    reason = f"{config.symbol} is not listed by the exchange any more; end the position there by hand"
    if not state.hold:
        state.hold = "symbol"
        outbox.held(config, "symbol", reason, now)
    if state.hold == "symbol":
        state.status, state.status_reason = "paused (symbol)", reason


def _has_stop(live: Sequence[Order]) -> bool:
    accepted = OrderRequest.State.ACCEPTED
    return any(order.purpose == "STOP" and order.request.state == accepted for order in live)


def _prepare(
    run: Run,
    state: BotState,
    decision: Decision,
    step: plan.Step | None,
    extras: Extras,
    now: datetime,
) -> Prepared:
    rules = run.market.rules(run.config)
    if decision.is_dust and step is None and rules is not None:
        written_off = _write_off(run, state, rules, now)
        if written_off is not None:
            return written_off
    if step is None or rules is None:
        return Prepared(None, rules, "held", decision.reasons)
    if run.row is None:
        run.row = runs.begin(run.config, run.trigger, run.key, run.slot, state.epoch + 1, now)
        if run.row is None:
            return Prepared(None, rules, "already run", ("this run was made before",))
        add_log_ids(run=run.row.pk)
    if isinstance(step, plan.Withdraw):
        return _withdraw(decision, step, rules, now)
    wishes = orders.within(step.wishes, run.sellable, rules)
    if not wishes:
        return Prepared(None, rules, "held", ("an exit is in doubt, and it may have sold the coins",))
    try:
        request = orders.prepare(
            state=state,
            target=_target(run.config),
            wishes=wishes,
            rules=rules,
            now=now,
            server_ms=run.client.now_ms(now),
            marks=limits.marks_for(run.config.account, now) if extras.has_limits else None,
            changed=REMEMBERED,
            nonce=extras.nonce,
            may_follow_late=extras.has_late,
        )
    except RiskVeto as veto:
        if isinstance(veto, LimitReached):
            limits.note_reached(veto, now)
            outbox.shared_limit_reached(run.config, veto, now)
        return _refused(state, decision, step.wishes[0], rules, str(veto))
    run.requests.append(request)
    return Prepared(request, rules, "traded", decision.reasons)


def _write_off(run: Run, state: BotState, rules: SymbolRules, now: datetime) -> Prepared | None:
    """A position that should be left and that the exchange would not take is dust; nothing of it rests."""
    open_orders = Order.objects.filter(bot_id=state.bot_id, live=True)
    if (
        open_orders.exists()
        or OrderRequest.objects.filter(bot_id=state.bot_id, state__in=DOUBT_STATES).exists()
    ):
        return None
    price = run.market.view(run.config, run.fresh_price).price
    at = None if price is None else Decimal(repr(price.price))
    reason = positions.write_off_unsellable(state=state, rules=rules, price=at, now=now)
    if reason is None:
        return None
    state.status, state.status_reason = "waiting" if run.config.is_active else "paused", reason
    state.save(update_fields=["status", "status_reason"])
    services.claim_release(bot=run.config, state=state)
    return Prepared(None, rules, "dust", (reason,))


def _withdraw(decision: Decision, step: plan.Withdraw, rules: SymbolRules, now: datetime) -> Prepared:
    """Commit the wish to cancel, before the exchange hears of it."""
    names = [order.client_order_id for order in step.orders]
    Order.objects.filter(client_order_id__in=names, cancel_wanted_at__isnull=True).update(
        cancel_wanted_at=now
    )
    return Prepared(None, rules, "withdrawn", decision.reasons, withdrawal=step.orders[0].request_id)


def _target(config: BotConfig) -> orders.Target:
    return orders.Target(
        config.pk,
        config.account_id,
        config.market,
        config.symbol,
        leverage=config.leverage,
        position_type=config.position_type,
    )


def _refused(state: BotState, decision: Decision, wish: Wish, rules: SymbolRules, veto: str) -> Prepared:
    state.status = "in position" if plan.lane_of(wish) == "exit" else "waiting"
    state.status_reason = veto
    return Prepared(None, rules, "refused", (veto, *decision.reasons))
