"""Limits across the bots of an account and of an owner: checked where an entry's money is reserved.

The limits of an owner hold for each environment by itself: paper money and real money are never added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from marketdata import prices
from marketdata.types import SymbolRules
from tradebot.binance.sources import source_for
from tradebot.errors import LimitReached, RiskVeto
from trading import limits_core
from trading.limits_core import Entry, Holding, Limits
from trading.locks import lock_owner
from trading.models import BotState, ExchangeAccount, Order, OrderRequest, RiskLimits
from trading.models.fields import amount

ZERO = Decimal(0)
# a column that says whether there are limits at all: mostly there are none
EXIST = """
EXISTS (SELECT FROM trading_risklimits WHERE account_id = %s OR (account_id IS NULL AND user_id = %s))
"""


class Owner(Protocol):
    """What a check needs to know of the entry's owner."""

    @property
    def bot_id(self) -> int: ...
    @property
    def account_id(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    @property
    def position_type(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Marks:
    """The limits that hold for an account, and fresh prices by market and symbol; read before the locks."""

    user_id: int
    environment: str
    limits: tuple[RiskLimits, ...]
    prices: Mapping[tuple[str, str], Decimal]


def whose(account: ExchangeAccount) -> list[int]:
    """The values for EXIST."""
    return [account.pk, account.user_id]


def marks_for(account: ExchangeAccount, now: datetime) -> Marks | None:
    """What check() needs, None without limits of the account and its owner. Reads Redis: before the locks."""
    rows = RiskLimits.objects.filter(Q(account=account) | Q(account=None, user_id=account.user_id))
    limits = tuple(rows.select_related("account", "user").order_by(F("account").asc(nulls_last=True)))
    if not limits:
        return None
    names: dict[str, set[str]] = {}
    wanted = _states(account.user_id, account.environment).filter(
        Q(in_position=True) | Q(bot__is_active=True)
    )
    for market, symbol in wanted.values_list("bot__market", "bot__symbol"):
        names.setdefault(market, set()).add(symbol)
    oldest = now - timedelta(seconds=settings.TIMINGS.price_max_age_seconds)
    found: dict[tuple[str, str], Decimal] = {}
    for market, symbols in names.items():
        for symbol, price in prices.load_many(source_for(account.environment, market), symbols).items():
            if price.at >= oldest:
                found[market, symbol] = Decimal(repr(price.price))
    return Marks(account.user_id, account.environment, limits, found)


def check(target: Owner, rules: SymbolRules, cost: Decimal, now: datetime, marks: Marks) -> None:
    """Raise LimitReached, with a sentence in plain words, when an entry worth `cost` breaks a limit.

    `cost` is the position's worth in quote units, leverage included. Locks the owner's row until the caller
    commits; the caller has locked the bot and reserved the entry's money (the account's rows). All entries
    of an owner with limits pass this lock one by one, so that many at once never exceed a limit together.
    RiskVeto says that a price is missing without which a limit can't be reckoned.
    """
    lock_owner(marks.user_id)
    holdings = _holdings(marks, now)
    entry = Entry(target.bot_id, target.symbol, rules.base, cost, is_short=target.position_type == "short")
    for row in marks.limits:
        scope = row.account_id
        own = [one for one in holdings if scope is None or one.account_id == scope]
        rate = _orders_last_minute(row, marks, now) if row.max_orders_per_minute else 0
        found = limits_core.breach(_view(row, now), own, entry, rules.quote, rate)
        if found is None:
            continue
        if not found.limit:
            raise RiskVeto(found.reason)
        raise LimitReached(
            found.reason, limits_id=row.pk, scope="account" if scope else "owner", limit=found.limit
        )


def note_reached(error: LimitReached, now: datetime) -> None:
    """Remember a reached daily loss: entries stop until midnight UTC, even if prices come back."""
    if error.limit == "daily loss":
        today = now.date()
        RiskLimits.objects.filter(pk=error.limits_id).exclude(loss_reached_on=today).update(
            loss_reached_on=today
        )


def _states(user_id: int, environment: str) -> QuerySet[BotState]:
    return BotState.objects.filter(bot__user_id=user_id, bot__account__environment=environment)


def _holdings(marks: Marks, now: datetime) -> list[Holding]:
    """What the owner's bots hold, will hold, and have made today: one statement, so one moment."""
    entering = Order.objects.filter(bot_id=OuterRef("bot_id"), live=True, request__lane="entry").order_by()
    pending = (
        entering.values("bot_id")
        .annotate(rest=Sum(F("quantity") - F("executed_quantity"), output_field=amount()))
        .values("rest")
    )
    rows = (
        _states(marks.user_id, marks.environment)
        .filter(Q(in_position=True) | Exists(entering) | Q(trading_day=now.date()))
        .annotate(pending=Coalesce(Subquery(pending), ZERO, output_field=amount()))
        .values(
            "bot_id",
            "bot__account_id",
            "bot__market",
            "bot__symbol",
            "bot__position_type",
            "current_position_size_coins",
            "entry_price",
            "trading_day",
            "daily_pnl",
            "pending",
        )
    )
    return [_holding(row, marks, now) for row in rows]


def _holding(row: Mapping[str, Any], marks: Marks, now: datetime) -> Holding:
    size = abs(row["current_position_size_coins"])
    return Holding(
        bot_id=row["bot_id"],
        account_id=row["bot__account_id"],
        symbol=row["bot__symbol"],
        quantity=-size if row["bot__position_type"] == "short" else size,
        pending=row["pending"],
        entry_price=row["entry_price"],
        price=marks.prices.get((row["bot__market"], row["bot__symbol"])),
        realized_today=row["daily_pnl"] if row["trading_day"] == now.date() else ZERO,
    )


def _orders_last_minute(row: RiskLimits, marks: Marks, now: datetime) -> int:
    """Requests of the last 60 s, exits too; those that never left don't count."""
    requests = OrderRequest.objects.filter(created_at__gt=now - timedelta(seconds=60)).exclude(
        state="NOT_SENT"
    )
    if row.account_id is not None:
        return requests.filter(account_id=row.account_id).count()
    return requests.filter(account__user_id=marks.user_id, account__environment=marks.environment).count()


def _view(row: RiskLimits, now: datetime) -> Limits:
    return Limits(
        name=f"account {row.account.name}" if row.account else f"owner {row.user}",
        max_daily_loss=row.max_daily_loss,
        max_exposure_per_coin=row.max_exposure_per_coin,
        max_exposure=row.max_exposure,
        max_open_positions=row.max_open_positions,
        max_orders_per_minute=row.max_orders_per_minute,
        loss_reached_today=limits_core.is_today(row.loss_reached_on, now),
    )
