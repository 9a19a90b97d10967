"""The screen: look at many bots without a lock, find those that would act, write nothing for a Hold."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef

from bots.models import BotConfig, BotInbox, ScreenRun
from bots.schedule import needs_a_look
from bots.snapshot import MarketCache, doubtful_lanes, snapshot
from marketdata.intervals import last_close
from trading.decide import decide
from trading.models import BotState, Order
from trading.plan import Place, lane_of, next_step
from trading.resting import live_orders
from trading.risk import usable_price
from trading.types import Decision

logger = logging.getLogger(__name__)

# What the screen finds changed is written in one statement. It skips rows that a run has locked, and rows
# whose epoch moved on: a run has written there since this screen read.
WRITE_STATUSES = """
UPDATE trading_botstate AS state SET status = found.status, status_reason = found.reason
FROM (
    SELECT row.id, news.status, news.reason
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]) AS news(bot_id, epoch, status, reason)
    JOIN trading_botstate AS row ON row.bot_id = news.bot_id AND row.epoch = news.epoch
    FOR NO KEY UPDATE OF row SKIP LOCKED
) AS found
WHERE state.id = found.id
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A bot that would act, and whether something other than an entry would."""

    bot_id: int
    is_exit: bool


@dataclass(slots=True)
class Screened:
    """What a screen found."""

    bots: int = 0
    stale: int = 0
    locked: int = 0
    calls: list[Call] = field(default_factory=list)
    statuses: list[tuple[int, int, str, str]] = field(default_factory=list)  # bot, epoch, status, reason


def screen(
    *, slot: datetime, trigger: str, number: int, first_id: int, last_id: int, now: datetime
) -> Screened:
    """Look at the bots of one chunk; gives those that need a run. Leaves one ScreenRun row."""
    ids = list(
        needs_a_look().filter(pk__range=(first_id, last_id)).order_by("pk").values_list("pk", flat=True)
    )
    found = look(ids, now)
    found.locked = _write_statuses(found.statuses)
    ScreenRun.objects.update_or_create(
        slot=slot,
        trigger=trigger,
        chunk=number,
        defaults={
            "bots": found.bots,
            "held": found.bots - len(found.calls),
            "acted": len(found.calls),
            "locked": found.locked,
            "stale": found.stale,
            "finished_at": now,
        },
    )
    return found


def look(bot_ids: Iterable[int], now: datetime) -> Screened:
    """decide() for each of the bots, on one view of the market; writes nothing."""
    mail = BotInbox.objects.filter(bot_id=OuterRef("bot_id"), handled_at__isnull=True)
    unbooked = Order.objects.filter(
        bot_id=OuterRef("bot_id"), live=False, fills_complete=False, executed_quantity__gt=0
    )
    states = list(
        BotState.objects.filter(bot_id__in=list(bot_ids))
        .select_related("bot__account")
        .annotate(has_mail=Exists(mail), has_unbooked=Exists(unbooked))
        .order_by("bot_id")
    )
    configs: dict[int, BotConfig] = {state.bot_id: state.bot for state in states}
    lanes = doubtful_lanes(configs)
    live = live_orders(list(configs))
    market = MarketCache(configs.values(), now)
    found = Screened(bots=len(states))
    for state in states:
        config = configs[state.bot_id]
        signal = market.signal(config)
        found.stale += signal is None or signal.as_of != last_close(now, config.interval)
        own_lanes = lanes.get(state.bot_id, set())
        view = snapshot(config, state, market, own_lanes, live.get(state.bot_id, ()))
        decision = decide(view.bot, view.state, view.market, now)
        step = next_step(decision.wishes, view.state.live, market=config.market, busy_lanes=own_lanes)
        # without a price the stop can't be watched from here; a run asks the exchange for one itself
        is_blind = state.in_position and usable_price(view.market.price, now) is None
        must_run = bool(own_lanes) or state.has_mail or state.has_unbooked or is_blind
        must_run = must_run or bool(state.exit_wanted and not state.in_position)
        is_barred = decision.status == "paused" and bool(view.market.kill_switch)
        reason = decision.reasons[0] if is_barred else ""
        if step is not None or decision.has_news or must_run:
            is_entry = isinstance(step, Place) and lane_of(step.wishes[0]) == "entry"
            found.calls.append(Call(state.bot_id, must_run or not is_entry))
        elif _shows(state, decision) or (is_barred and state.status_reason != reason):
            found.statuses.append((state.bot_id, state.epoch, decision.status, reason))
    return found


def _shows(state: BotState, decision: Decision) -> bool:
    """Whether the status text changes. An error stays until a run went well, unless something else is up."""
    if state.status == decision.status:
        return False
    return not (state.status.startswith("error (") and decision.status == "waiting")


def _write_statuses(rows: list[tuple[int, int, str, str]]) -> int:
    """Write the changed statuses; gives how many bots were passed over: locked, or run meanwhile."""
    if not rows:
        return 0
    bot_ids, epochs, statuses, reasons = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(WRITE_STATUSES, [list(bot_ids), list(epochs), list(statuses), list(reasons)])
        return len(rows) - cursor.rowcount
