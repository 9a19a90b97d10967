"""Which bots a slot has to look at, in chunks, and which candle series they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from bots.models import BotConfig, BotInbox
from marketdata.intervals import INTERVALS, last_close
from marketdata.series import Series
from tradebot.binance.sources import source_for
from trading import signals
from trading.models import Order, OrderRequest
from trading.models.journal import DOUBT_STATES


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of bot ids that one screen message looks at."""

    number: int
    first_id: int
    last_id: int


def needs_a_look() -> QuerySet[BotConfig]:
    """Bots to screen: active ones, and any that has a position, a wish to leave, a doubt or unread mail.

    A pause stops entries, never exits: so a paused bot in position is here too.
    """
    doubt = OrderRequest.objects.filter(bot_id=OuterRef("pk"), state__in=DOUBT_STATES)
    order = Order.objects.filter(bot_id=OuterRef("pk")).filter(
        Q(live=True) | Q(fills_complete=False, executed_quantity__gt=0)
    )
    mail = BotInbox.objects.filter(bot_id=OuterRef("pk"), handled_at__isnull=True)
    return BotConfig.objects.filter(
        Q(is_active=True, deleted_at__isnull=True)
        | Q(state__in_position=True)
        | ~Q(state__exit_wanted="")
        | Exists(doubt)
        | Exists(order)
        | Exists(mail)
    )


def chunks(intervals: Iterable[str] | None = None) -> Iterator[Chunk]:
    """The bots to look at as ranges of ids; with `intervals`, only those that trade on them."""
    bots = needs_a_look()
    if intervals is not None:
        bots = bots.filter(interval__in=list(intervals))
    ids = list(bots.order_by("pk").values_list("pk", flat=True))
    for number, start in enumerate(range(0, len(ids), settings.SCREEN_CHUNK)):
        part = ids[start : start + settings.SCREEN_CHUNK]
        yield Chunk(number, part[0], part[-1])


def closed_intervals(slot: datetime) -> list[str]:
    """The intervals that have a candle which closed right at the slot."""
    return [interval for interval in INTERVALS if last_close(slot, interval) == slot]


def series_in_use() -> list[Series]:
    """The candle series that active bots, and bots in position, read; for the feed."""
    rows = (
        BotConfig.objects.filter(Q(is_active=True, deleted_at__isnull=True) | Q(state__in_position=True))
        .order_by()
        .values_list("account__environment", "market", "symbol", "interval", "strategy", "strategy_params")
        .distinct()
    )
    found: list[Series] = []
    for environment, market, symbol, interval, strategy, params in rows:
        source = source_for(environment, market)
        found += signals.key_for(source, symbol, interval, strategy, params).series()
    return found


def parse_slot(text: str | None, now: datetime) -> datetime:
    """The slot that a message names, or the minute of `now`. Raises ValueError for a time without zone."""
    if text is None:
        return now.astimezone(UTC).replace(second=0, microsecond=0)
    slot = datetime.fromisoformat(text)
    if slot.tzinfo is None:
        raise ValueError(f"the slot {text!r} has no time zone")
    return slot.astimezone(UTC).replace(second=0, microsecond=0)
