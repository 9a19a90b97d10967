"""The actors: parse ids, call one service, send what follows. No rule lives here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dramatiq
from django.conf import settings
from dramatiq.middleware.time_limit import TimeLimitExceeded  # noqa: F401 -- what a soft limit raises
from periodiq import cron

from bots import daily, dead_letters, reconciling, runner, schedule, services_kill
from bots import screen as screens
from bots.models import BotInbox, BotRun
from bots.notifications import delivery, summary
from bots.runs import RunResult
from tradebot import clock
from tradebot.errors import TradebotError
from tradebot.redis import redis_client
from trading import books_check, income
from trading.accounts import client_for
from trading.models import KillSwitch

logger = logging.getLogger(__name__)

SOFT_LIMIT_MS = settings.TASK_SOFT_TIME_LIMIT * 1000
RUN_MAX_AGE_MS = 55_000  # a run of an older minute is not worth it: the next look decides anew
BUSY_DELAY_MS = 1000
DELIVERY_LIMIT_MS = min(SOFT_LIMIT_MS, 120_000)  # below delivery.TAKEN_FOR
DELIVERY_MAX_AGE_MS = 300_000
WAKE_CHUNK = 200  # bots
DRAIN_SECONDS = 60.0  # longer than an entry can be on its way
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
    for account_id, market in reconciling.orders_due(due, clock.now()):
        ask_for_orders.send(account_id, market)


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


@_actor("exits", max_age=300_000, actor_name="wake-bots")
def wake_chunk(first_id: int, last_id: int) -> None:
    """Have the bots looked at in whose inbox something of these ids waits."""
    waiting = BotInbox.objects.filter(pk__range=(first_id, last_id), handled_at__isnull=True).order_by("pk")
    for inbox_id, bot_id in waiting.values_list("pk", "bot_id"):
        answer_inbox.send(bot_id, inbox_id)


@_actor("background", max_age=None, actor_name="carry-out-kill-switch")
def carry_out_kill_switch(switch_id: int) -> None:
    """Go on until no entry that a kill switch covers is on its way: for switches set by admin and API."""
    switch = KillSwitch.objects.filter(pk=switch_id, lifted_at__isnull=True).first()
    if switch is None:
        return
    switch = services_kill.carry_out(switch, wake=wake_bots, wait_seconds=DRAIN_SECONDS)
    deliver_soon()
    if switch.drained_at is None:
        logger.warning("kill switch %s: an entry is still on its way", switch_id)
        carry_out_kill_switch.send_with_options(args=(switch_id,), delay=BUSY_DELAY_MS)


def wake_bots(inbox_ids: Sequence[int]) -> None:
    """Have many bots look into their inboxes: a message for each chunk of ids, in increasing order."""
    for first_id, last_id in services_kill.chunked(inbox_ids, WAKE_CHUNK):
        wake_chunk.send(first_id, last_id)


@_actor("background", max_age=300_000, actor_name="check-books", periodic=cron("23 * * * *"))
def check_books() -> None:
    """Check the books: the database, and some accounts against their exchange."""
    books_check.check_hourly(clock.now)
    deliver_soon()


@_actor("background", actor_name="sweep-accounts", periodic=cron("* * * * *"))
def sweep_accounts() -> None:
    """Fan out into the accounts that are compared with the exchange this minute."""
    for account_id, market in reconciling.due(clock.now()):
        sweep_account.send(account_id, market)


@_actor("background", max_age=None, actor_name="sweep-account")
def sweep_account(account_id: int, market: str) -> None:
    """Compare one account with the exchange, wake its bots, and look again where a difference was new."""
    now = clock.now()
    swept, wakes = reconciling.reconcile(account_id, market, now)
    for wake in wakes:
        wake_bot(wake.bot_id, wake.inbox_id)
    delay = reconciling.delay_ms(swept, now)
    if delay is not None and not swept.error:
        sweep_account.send_with_options(args=(account_id, market), delay=delay)
    if swept.findings:
        deliver_soon()


@_actor("background", actor_name="ask-for-orders")
def ask_for_orders(account_id: int, market: str) -> None:
    """Ask for an account's open orders and wake the bots whose orders changed."""
    try:
        wakes = reconciling.ask_for_orders(account_id, market, clock.now())
    except TradebotError as error:
        logger.warning("open orders of account %s can't be had: %s", account_id, error)
        return
    for wake in wakes:
        wake_bot(wake.bot_id, wake.inbox_id)


def sweep_soon(account_id: int, market: str) -> None:
    """Have an account compared with the exchange at once. One message, however many ask within seconds."""
    if reconciling.is_asked_soon(account_id, market):
        sweep_account.send(account_id, market)


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
