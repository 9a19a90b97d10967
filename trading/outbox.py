"""What an owner is to be told of becomes a row, in the very transaction in which it happened.

Nothing is sent from here, and nothing here can fail for a receiver's sake: bots.notifications delivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model

from tradebot import clock, rows
from tradebot.errors import LimitReached
from trading.filters import format_decimal
from trading.models import BotState, OutboxMessage, Trade
from trading.models.journal import Order, OrderRequest

Event = OutboxMessage.Event
TEXT_LENGTH = 500


def notify(
    *,
    event: str,
    user_id: int,
    payload: Mapping[str, Any],
    bot_id: int | None = None,
    once: str | None = None,
    now: datetime | None = None,
) -> None:
    """Write the event to the outbox; the caller's transaction keeps it or drops it.

    Of the same `once` only the first is kept, for ever: "error:7:exchange:2026-04-01T12" is one an hour.
    Decimals and times in the payload become texts.
    """
    message = OutboxMessage(
        user_id=user_id,
        event=event,
        bot_id=bot_id,
        payload={name: _plain(value) for name, value in payload.items()},
        once=once,
        created_at=now or clock.now(),
    )
    rows.run(rows.insert([message], ignore_conflicts=once is not None))


def tell_superusers(error: str, reason: str, *, once: str, now: datetime, **payload: Any) -> None:
    """Tell each active superuser of an error of the deployment; of the same `once` one message each."""
    superusers = get_user_model().objects.filter(is_superuser=True, is_active=True)
    for user_id in superusers.order_by("pk").values_list("pk", flat=True):
        notify(
            event=Event.ERROR,
            user_id=user_id,
            payload={"error": error, "reason": reason, **payload},
            once=f"{once}:{user_id}",
            now=now,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, str):
        return value[:TEXT_LENGTH]
    return value


def trade_made(trade: Trade, bot: Any, now: datetime) -> None:
    """Tell of a trade of the bot, in the transaction that books it."""
    notify(
        event=Event.TRADE,
        user_id=trade.user_id,
        bot_id=bot.pk,
        payload={
            **_about(bot),
            "trade_id": trade.pk,
            "side": trade.side,
            "purpose": trade.purpose,
            "price": trade.price,
            "quantity": trade.quantity_filled,
            "fee_usdt": trade.commission_quote,
            "realized_pnl": trade.realized_pnl,
            "reason": trade.reason,
            "traded_at": trade.created_at,
        },
        now=now,
    )


def day_counted(order: Order, state: BotState, now: datetime) -> None:
    """Tell that the bot has made as many entries today as it may, in the transaction that counts them."""
    bot = state.bot
    if (
        order.purpose != "ENTRY"
        or not bot.max_daily_trades
        or state.daily_trades_count < bot.max_daily_trades
    ):
        return
    bot_limit_reached(bot, "trades", f"{state.daily_trades_count} trades today, the last one allowed", now)


def day_limit_reached(bot: Any, limit: str, now: datetime) -> None:
    """Tell that the bot's daily loss or target ("loss", "target") is reached, in the commit that notes it."""
    percent = bot.max_daily_loss_perc if limit == "loss" else bot.daily_target_perc
    what = "lost" if limit == "loss" else "won"
    capital = format_decimal(bot.initial_capital)
    reason = (
        f"{format_decimal(percent)} % of the capital of {capital} USDT are {what} today, "
        "with the open position; entries stop until midnight UTC"
    )
    bot_limit_reached(bot, limit, reason, now)


def bot_limit_reached(bot: Any, limit: str, reason: str, now: datetime) -> None:
    """Tell, once a day, that a bot has reached one of its own daily limits: trades, loss or target."""
    notify(
        event=Event.LIMIT,
        user_id=bot.user_id,
        bot_id=bot.pk,
        payload={**_about(bot), "scope": "bot", "limit": f"daily {limit}", "reason": reason},
        once=f"limit:bot:{bot.pk}:{limit}:{now.astimezone(UTC).date()}",
        now=now,
    )


def shared_limit_reached(bot: Any, error: LimitReached, now: datetime) -> None:
    """Tell, once a day, that a limit across bots kept a bot from entering."""
    notify(
        event=Event.LIMIT,
        user_id=bot.user_id,
        bot_id=None,
        payload={**_about(bot), "scope": error.scope, "limit": error.limit, "reason": str(error)},
        once=f"limit:shared:{error.limits_id}:{error.limit}:{now.astimezone(UTC).date()}",
        now=now,
    )


def request_failed(request: OrderRequest, state: BotState, now: datetime) -> None:
    """Tell of a refused order and of the hold that it led to, in the commit that ends the request."""
    if request.state != "REJECTED":
        return
    failed(request.bot, f"order:{request.code}", f"order refused: {request.reason}", now)
    if state.hold:
        held(request.bot, state.hold, request.reason, now)


def failed(bot: Any, what: str, reason: str, now: datetime) -> None:
    """Tell that something failed for a bot: at most once an hour for the same thing."""
    notify(
        event=Event.ERROR,
        user_id=bot.user_id,
        bot_id=bot.pk,
        payload={**_about(bot), "error": what, "reason": reason},
        once=f"error:{bot.pk}:{what}:{_hour(now)}"[:120],
        now=now,
    )


def held(bot: Any, hold: str, reason: str, now: datetime) -> None:
    """Tell that a bot was paused by what happened (key, orders, doubt ...): at most once an hour."""
    notify(
        event=Event.PAUSED,
        user_id=bot.user_id,
        bot_id=bot.pk,
        payload={**_about(bot), "status": f"paused ({hold})", "reason": reason},
        once=f"paused:{bot.pk}:{hold}:{_hour(now)}",
        now=now,
    )


def account_changed(account: Any, what: str, reason: str, now: datetime, key: object = "") -> None:
    """Tell of something about an account that is no single bot's: a deposit, somebody else's order.

    At most once an hour for the same `what` and `key`.
    """
    payload = {
        "bot": f"account {account.name}",
        "account": account.name,
        "environment": account.environment,
        "error": what,
        "reason": reason,
    }
    notify(
        event=Event.ERROR,
        user_id=account.user_id,
        payload=payload,
        once=f"account:{account.pk}:{what}:{key}:{_hour(now)}"[:120],
        now=now,
    )


def _hour(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y-%m-%dT%H}"


def _about(bot: Any) -> dict[str, Any]:
    """Which bot it is, and where its money is."""
    account = bot.account
    return {
        "bot": bot.name,
        "bot_id": bot.pk,
        "account": account.name,
        "environment": account.environment,
        "market": bot.market,
        "symbol": bot.symbol,
    }
