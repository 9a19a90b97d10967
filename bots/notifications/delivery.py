"""The outbox on its way: each message to each channel that wants it, at least once, again until it arrived.

Three steps, each safe to repeat and to share among workers: messages are routed (a Delivery row for each
channel), due channels are found, and one worker at a time empties one channel. No lock and no transaction is
open while a receiver is talked to. A channel from which no answer comes at all waits as a whole, so that a
dead receiver costs one attempt, not one for each message; no channel waits for another.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min, Q

from bots.notifications import senders
from bots.notifications.models import Delivery, NotificationChannel
from tradebot.webhooks import Outcome
from trading.models import OutboxMessage

logger = logging.getLogger(__name__)

ROUTE_AT_ONCE = 500
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 10.0, 3600.0
GIVE_UP_AFTER = timedelta(hours=48)
TAKEN_FOR = timedelta(seconds=150)  # longer than the actor may run: a dead worker's channel is free after it
ROUND_SECONDS = 45.0
KEEP = timedelta(days=30)
KEPT_ROWS_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: deliveries under way, those given up, and how old the oldest of the waiting is."""

    pending: int
    dead: int
    oldest_seconds: float


def route(now: datetime) -> int:
    """Make the deliveries of messages that have none yet; gives how many messages were routed."""
    with transaction.atomic():
        messages = list(
            OutboxMessage.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .filter(routed_at__isnull=True)
            .order_by("id")[:ROUTE_AT_ONCE]
        )
        channels = NotificationChannel.objects.filter(
            user_id__in={message.user_id for message in messages}, is_active=True, user__is_active=True
        )
        by_user: dict[int, list[NotificationChannel]] = {}
        for channel in channels:
            by_user.setdefault(channel.user_id, []).append(channel)
        Delivery.objects.bulk_create(
            [
                Delivery(message=message, channel=channel, next_try_at=now, created_at=now)
                for message in messages
                for channel in by_user.get(message.user_id, [])
                if wants(channel, message)
            ],
            ignore_conflicts=True,
        )
        OutboxMessage.objects.filter(pk__in=[message.pk for message in messages]).update(routed_at=now)
    return len(messages)


def wants(channel: NotificationChannel, message: OutboxMessage) -> bool:
    """Whether the channel is told of the message; what is about no single bot goes to channels of all."""
    return message.event in channel.events and channel.bot_id in (None, message.bot_id)


def due_channels(now: datetime) -> list[int]:
    """Channels that have something to send, and that nobody is busy with; longest waiting first."""
    return list(
        NotificationChannel.objects.filter(_is_free(now), deliveries__state="pending")
        .filter(deliveries__next_try_at__lte=now)
        .annotate(since=Min("deliveries__next_try_at"))
        .order_by("since")
        .values_list("pk", flat=True)
    )


def empty_channel(
    channel_id: int, now: Callable[[], datetime], jitter: Callable[[], float] = random.random
) -> int:
    """Send what is due on the channel, for about 45 s; gives how many were delivered.

    At once nothing is done where another worker is at it.
    """
    channel = _take(channel_id, now())
    if channel is None:
        return 0
    delivered = 0
    until = time.monotonic() + ROUND_SECONDS
    try:
        while time.monotonic() < until:
            delivery = _next(channel, now(), jitter())
            if delivery is None:
                break
            outcome = senders.send(channel, delivery.message, now())
            _note(channel, delivery, outcome, now(), jitter())
            delivered += outcome.delivered
            if outcome.silent or outcome.gone:
                break
    finally:
        NotificationChannel.objects.filter(pk=channel.pk, taken_until=channel.taken_until).update(
            taken_until=None
        )
    return delivered


def backlog(now: datetime) -> Backlog:
    """The figures for metrics and health."""
    pending = Delivery.objects.filter(state="pending")
    oldest = pending.aggregate(oldest=Min("created_at"))["oldest"]
    unrouted = OutboxMessage.objects.filter(routed_at__isnull=True).count()
    return Backlog(
        pending=pending.count() + unrouted,
        dead=Delivery.objects.filter(state="dead").count(),
        oldest_seconds=(now - oldest).total_seconds() if oldest else 0.0,
    )


def tidy(now: datetime) -> int:
    """Remove messages older than 30 days, with their deliveries, unless one is still under way."""
    old = OutboxMessage.objects.filter(created_at__lt=now - KEEP, routed_at__isnull=False)
    ids = list(old.exclude(deliveries__state="pending").values_list("pk", flat=True)[:KEPT_ROWS_AT_ONCE])
    OutboxMessage.objects.filter(pk__in=ids).delete()
    return len(ids)


def wait_seconds(attempts: int, jitter: float) -> float:
    """Before the next try: 10 s, doubled each time up to an hour, and 0 to 20 % (`jitter` 0 to 1) more."""
    return min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 20)) * (1 + 0.2 * jitter)


def _is_free(now: datetime) -> Q:
    free = Q(taken_until__isnull=True) | Q(taken_until__lte=now)
    return free & (Q(waits_until__isnull=True) | Q(waits_until__lte=now))


def _take(channel_id: int, now: datetime) -> NotificationChannel | None:
    """Take the channel for this worker; the lock is held for this statement only."""
    with transaction.atomic():
        channel = (
            NotificationChannel.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .filter(_is_free(now), pk=channel_id)
            .first()
        )
        if channel is not None:
            channel.taken_until = now + TAKEN_FOR
            channel.save(update_fields=["taken_until"])
    return channel


def _next(channel: NotificationChannel, now: datetime, jitter: float) -> Delivery | None:
    """The next one that is due, its attempt counted and its next try set before anything is sent."""
    delivery = (
        Delivery.objects.filter(channel=channel, state="pending", next_try_at__lte=now)
        .select_related("message__user")
        .order_by("next_try_at", "pk")
        .first()
    )
    if delivery is not None:
        delivery.attempts += 1
        delivery.next_try_at = now + timedelta(seconds=wait_seconds(delivery.attempts, jitter))
        delivery.save(update_fields=["attempts", "next_try_at"])
    return delivery


def _note(
    channel: NotificationChannel, delivery: Delivery, outcome: Outcome, now: datetime, jitter: float
) -> None:
    if outcome.delivered:
        delivery.state, delivery.delivered_at, delivery.last_error = "delivered", now, ""
    else:
        delivery.last_error = outcome.text[:300]
        if outcome.gone or now - delivery.created_at >= GIVE_UP_AFTER:
            delivery.state = "dead"
        logger.info("delivery %s to channel %s: %s", delivery.pk, channel.pk, outcome.text)
    delivery.save(update_fields=["state", "delivered_at", "last_error"])
    silences = channel.silences + 1 if outcome.silent else 0
    waits_until = now + timedelta(seconds=wait_seconds(silences, jitter)) if silences else None
    changes = {
        "silences": silences,
        "waits_until": waits_until,
        "last_at": now,
        "last_result": outcome.text[:300],
    }
    if outcome.gone:  # 410: the receiver wants no more, ever
        changes |= {"is_active": False, "last_result": "answered 410 (gone): switched off"}
    NotificationChannel.objects.filter(pk=channel.pk).update(**changes)
    channel.silences = silences
