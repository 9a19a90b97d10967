"""The summary of a UTC day for each owner who is told of it: trades, PnL, open positions."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum

from bots.notifications.models import NotificationChannel
from marketdata import prices
from tradebot.binance.sources import source_for
from trading import outbox
from trading.filters import format_decimal
from trading.models import BotState, Trade

ZERO = Decimal(0)
MOST_POSITIONS = 100  # listed in one summary
PLACES = Decimal("1e-8")


def write_summaries(now: datetime) -> int:
    """Write the summary of yesterday for each owner with a channel for it: once a day, however often called.

    Gives how many owners were looked at.
    """
    day = now.astimezone(UTC).date() - timedelta(days=1)
    owners = (
        NotificationChannel.objects.filter(is_active=True, events__contains=["daily_summary"])
        .filter(user__is_active=True)
        .order_by()
        .values_list("user_id", flat=True)
        .distinct()
    )
    for user_id in owners:
        outbox.notify(
            event=outbox.Event.DAILY_SUMMARY,
            user_id=user_id,
            payload=summary_of(user_id, day),
            once=f"summary:{user_id}:{day}",
            now=now,
        )
    return len(owners)


def summary_of(user_id: int, day: date) -> dict[str, Any]:
    """What the owner's bots did on the UTC day, and what they hold now."""
    start = datetime.combine(day, time.min, UTC)
    sums = Trade.objects.filter(
        user_id=user_id, created_at__gte=start, created_at__lt=start + timedelta(days=1)
    ).aggregate(
        entries=Count("pk", filter=Q(purpose="ENTRY")),
        exits=Count("pk", filter=~Q(purpose="ENTRY")),
        pnl=Sum("realized_pnl"),
        fees=Sum("commission_quote"),
    )
    states = (
        BotState.objects.filter(bot__user_id=user_id, in_position=True)
        .select_related("bot__account")
        .order_by("bot_id")
    )
    positions = [_position(state) for state in states[:MOST_POSITIONS]]
    return {
        "day": str(day),
        "entries": sums["entries"],
        "exits": sums["exits"],
        "realized_pnl": sums["pnl"] or ZERO,
        "fees_usdt": sums["fees"] or ZERO,
        "open_positions": states.count(),
        "positions": positions,
    }


def _position(state: BotState) -> dict[str, Any]:
    bot = state.bot
    source = source_for(bot.account.environment, bot.market)
    found = prices.load_many(source, [bot.symbol]).get(bot.symbol)
    price = Decimal(repr(found.price)) if found else None
    size = state.current_position_size_coins
    held = -abs(size) if bot.position_type == "short" else size
    entry = state.entry_price or ZERO
    unrealized = ((price - entry) * held).quantize(PLACES) if price is not None else None
    return {
        "bot": bot.name,
        "account": bot.account.name,
        "environment": bot.account.environment,
        "symbol": bot.symbol,
        "side": bot.position_type,
        "quantity": format_decimal(abs(size)),
        "entry_price": format_decimal(entry.quantize(PLACES)),
        "price": format_decimal(price) if price is not None else None,
        "unrealized_pnl": format_decimal(unrealized) if unrealized is not None else None,
    }
