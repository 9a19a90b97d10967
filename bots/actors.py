"""The actors: parse ids, call one service, send what follows. No rule lives here."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import dramatiq
from django.conf import settings
from dramatiq.middleware.time_limit import TimeLimitExceeded  # noqa: F401 -- what a soft limit raises
from periodiq import cron

from bots import daily, dead_letters, runner, schedule
from bots import screen as screens
from bots.models import BotRun
from bots.notifications import delivery, summary
from bots.runs import RunResult
from tradebot import clock
from tradebot.errors import TradebotError
from tradebot.redis import redis_client
from trading import income
from trading.accounts import client_for

logger = logging.getLogger(__name__)

SOFT_LIMIT_MS = settings.TASK_SOFT_TIME_LIMIT * 1000
RUN_MAX_AGE_MS = 55_000  # a run of an older minute is not worth it: the next look decides anew
BUSY_DELAY_MS = 1000
DELIVERY_LIMIT_MS = min(SOFT_LIMIT_MS, 120_000)  # below delivery.TAKEN_FOR
DELIVERY_MAX_AGE_MS = 300_000
DELIVERY_ASKED_KEY = "outbox:asked"
QUIET_OUTCOMES = ("held", "busy", "already run", "in flight")


def _actor(queue_name: str, max_age: int | None = RUN_MAX_AGE_MS, **options: Any) -> Any:
    """An actor that can trade is never retried: the next look is its second try."""
    if max_age is not None:
        options["max_age"] = max_age
    return dramatiq.actor(queue_name=queue_name, max_retries=0, time_limit=SOFT_LIMIT_MS, **options)


@_actor("screen", actor_name="run-all-active-bots-every-minute", periodic=cron("* * * * *"))
def run_all_active_bots_every_minute(slot: str | None = None) -> None:
    """Fan the minute out into screens; `slot` (ISO time) stands in for the present minute."""
    due = schedule.parse_slot(slot, clock.now())
    for chunk in schedule.chunks():
        screen_chunk.send(due.isoformat(), BotRun.Trigger.MINUTE, chunk.number, chunk.first_id, chunk.last_id)


@_actor("screen", actor_name="screen-closed-candles")
def screen_closed_candles(slot: str) -> None:
    """Fan a candle close out into screens of the bots whose candles closed then."""
    due = schedule.parse_slot(slot, clock.now())
    for chunk in schedule.chunks(schedule.closed_intervals(due)):
        screen_chunk.send(due.isoformat(), BotRun.Trigger.CANDLE, chunk.number, chunk.first_id, chunk.last_id)


@_actor("screen", actor_name="screen-chunk")
def screen_chunk(slot: str, trigger: str, number: int, first_id: int, last_id: int) -> None:
    """Screen the bots of one chunk and send a run for each that would act."""
    due = schedule.parse_slot(slot, clock.now())
    found = screens.screen(
        slot=due, trigger=trigger, number=number, first_id=first_id, last_id=last_id, now=clock.now()
    )
    for call in sorted(found.calls, key=lambda call: not call.is_exit):
        message = run_bot.message(call.bot_id, slot, trigger, slot)
        queue_name = "exits" if call.is_exit else "entries"
        run_bot.broker.enqueue(message.copy(queue_name=queue_name))


@_actor("entries", actor_name="run-bot")
def run_bot(bot_id: int, slot: str, trigger: str, key: str) -> None:
    """Run one bot that would act."""
    result = runner.run_bot(bot_id, trigger=trigger, key=key, slot=schedule.parse_slot(slot, clock.now()))
    _after_run(bot_id, result)


@_actor("exits", actor_name="answer-inbox", store_results=True)
def answer_inbox(bot_id: int, inbox_id: int) -> dict[str, Any]:
    """Run one bot because something waits in its inbox; a busy one is tried again after a second."""
    now = clock.now()
    result = runner.run_bot(bot_id, trigger=BotRun.Trigger.INBOX, key=str(inbox_id), slot=clock.slot_of(now))
    if result.outcome == "busy":
        answer_inbox.send_with_options(args=(bot_id, inbox_id), delay=BUSY_DELAY_MS)
    _after_run(bot_id, result)
    return {"outcome": result.outcome, "reasons": list(result.reasons)}


@_actor("exits", max_age=None, actor_name="recover-bot")
def recover_bot(bot_id: int, due: str) -> None:
    """Look at a bot's doubts when due. Without an age limit: a delayed message counts from its first send."""
    now = clock.now()
    result = runner.run_bot(bot_id, trigger=BotRun.Trigger.RECOVERY, key=due, slot=clock.slot_of(now))
    _after_run(bot_id, result)


@_actor(
    "background",
    max_age=None,
    actor_name="reactivate-bots-daily-at-utc-midnight",
    periodic=cron("0 0 * * *"),
)
def reactivate_bots_daily_at_utc_midnight() -> None:
    """Wake the bots that a daily limit had paused, and have them looked at."""
    if daily.reactivate(clock.now()):
        run_all_active_bots_every_minute.send()


@dramatiq.actor(
    queue_name="background",
    actor_name="deliver-notifications",
    max_retries=0,
    max_age=DELIVERY_MAX_AGE_MS,
    time_limit=DELIVERY_LIMIT_MS,
    periodic=cron("* * * * *"),
)
def deliver_notifications() -> None:
    """Route what is new in the outbox, and have each channel emptied that has something due."""
    redis_client().delete(DELIVERY_ASKED_KEY)  # what is written from here on asks anew
    while delivery.route(clock.now()) == delivery.ROUTE_AT_ONCE:
        pass
    for channel_id in delivery.due_channels(clock.now()):
        empty_channel.send(channel_id)


@dramatiq.actor(
    queue_name="background",
    actor_name="empty-channel",
    max_retries=0,
    max_age=DELIVERY_MAX_AGE_MS,
    time_limit=DELIVERY_LIMIT_MS,
)
def empty_channel(channel_id: int) -> None:
    """Send what is due on one channel: the minute's next round is the second try."""
    delivery.empty_channel(channel_id, clock.now)


@_actor("background", max_age=None, actor_name="write-daily-summaries", periodic=cron("5 0 * * *"))
def write_daily_summaries() -> None:
    """The summaries of the UTC day that has ended; remove notifications and dead letters of 30 days ago."""
    summary.write_summaries(clock.now())
    delivery.tidy(clock.now())
    dead_letters.tidy()
    deliver_soon()


@_actor("background", max_age=300_000, actor_name="book-funding", periodic=cron("*/15 * * * *"))
def book_funding() -> None:
    """Book what futures positions were paid or charged; one that does not answer waits."""
    for account in income.accounts_due():
        try:
            income.book_income(account, client_for(account, "futures"), clock.now())
        except TradebotError as error:
            logger.warning("funding of account %s can't be booked yet: %s", account.pk, error)


def wake_bot(bot_id: int, inbox_id: int) -> None:
    """Have a bot look into its inbox now. For callers of services, in transaction.on_commit."""
    answer_inbox.send(bot_id, inbox_id)


def candles_closed(slot: datetime) -> None:
    """Have the bots looked at whose candles closed at `slot`. The feed calls it."""
    screen_closed_candles.send(slot.isoformat())


def deliver_soon() -> None:
    """Have the outbox delivered now. One message, however many ask before it is worked on.

    For callers of notifications.services, in transaction.on_commit. Redis being away costs a minute.
    """
    if redis_client().set(DELIVERY_ASKED_KEY, b"1", nx=True, ex=60):
        deliver_notifications.send()


def _after_run(bot_id: int, result: RunResult) -> None:
    _look_again(bot_id, result.look_again_at)
    if result.outcome not in QUIET_OUTCOMES:
        deliver_soon()


def _look_again(bot_id: int, at: datetime | None) -> None:
    if at is None:
        return
    delay_ms = max(100, round((at - clock.now()).total_seconds() * 1000))
    recover_bot.send_with_options(args=(bot_id, at.isoformat()), delay=min(delay_ms, 86_400_000))
