"""What all bots of a user have and did, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import redis
from django.db.models import Count, Q, Sum

from bots.models import BotConfig, BotRun, ScreenRun
from bots.outlook import unrealized
from bots.snapshot import source_of
from marketdata import prices
from tradebot.binance.sources import Source
from tradebot.clock import now
from trading.models import AccountState, BotState

QUOTE = "USDT"
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Position:
    """An open position. Size in base units, the rest in quote units; None is not known."""

    bot: int
    name: str
    account: int
    market: str
    symbol: str
    position_type: str
    current_position_size_coins: Decimal
    entry_price: Decimal | None
    price: Decimal | None
    unrealized_pnl: Decimal | None

    @property
    def worth(self) -> Decimal | None:
        """What it adds to the free money: spot coins their value, a futures position its unrealised PnL."""
        if self.market != "spot":
            return self.unrealized_pnl
        return None if self.price is None else self.price * self.current_position_size_coins


@dataclass(frozen=True, slots=True)
class Summary:
    """Money in USDT. `equity` is None while no balance is known, or the price of a position is not."""

    equity: Decimal | None
    pnl_today: Decimal
    pnl_total: Decimal
    unrealized_pnl: Decimal
    open_positions: list[Position]
    bots: dict[str, int]
    active_bots: int
    last_screen: ScreenRun | None


def summarise(user: Any, environment: str | None = None) -> Summary:
    """The user's bots, for a superuser everybody's; of one environment's accounts only where one is given."""
    bots: dict[str, Any] = {} if user.is_superuser else {"bot__user": user}
    accounts: dict[str, Any] = {} if user.is_superuser else {"account__user": user}
    if environment:
        bots["bot__account__environment"] = environment
        accounts["account__environment"] = environment
    states = BotState.objects.filter(**bots)
    today = Q(trading_day=now().date())
    totals = states.aggregate(today=Sum("daily_pnl", filter=today), total=Sum("realized_total"))
    present = states.filter(bot__deleted_at__isnull=True)
    positions = _positions(present.filter(in_position=True).select_related("bot__account").order_by("bot_id"))
    balances = AccountState.objects.filter(asset=QUOTE, asked_at__isnull=False, **accounts)
    return Summary(
        equity=_equity(balances.aggregate(free=Sum("free"))["free"], positions),
        pnl_today=totals["today"] or ZERO,
        pnl_total=totals["total"] or ZERO,
        unrealized_pnl=sum((position.unrealized_pnl or ZERO for position in positions), ZERO),
        open_positions=positions,
        bots=dict(present.order_by("status").values_list("status").annotate(Count("id"))),
        active_bots=present.filter(bot__is_active=True).count(),
        last_screen=_last_screen(),
    )


def _positions(states: Iterable[BotState]) -> list[Position]:
    rows = list(states)
    known = _prices([state.bot for state in rows])
    found = []
    for state in rows:
        bot = state.bot
        price = known.get((source_of(bot), bot.symbol))
        found.append(
            Position(
                bot=bot.pk,
                name=bot.name,
                account=bot.account_id,
                market=bot.market,
                symbol=bot.symbol,
                position_type=bot.position_type,
                current_position_size_coins=state.current_position_size_coins,
                entry_price=state.entry_price,
                price=price,
                unrealized_pnl=unrealized(state, price),
            )
        )
    return found


def _prices(bots: Iterable[BotConfig]) -> dict[tuple[Source, str], Decimal]:
    """The last prices, one request to Redis a source; none while Redis does not answer."""
    wanted: dict[Source, set[str]] = {}
    for bot in bots:
        wanted.setdefault(source_of(bot), set()).add(bot.symbol)
    found = {}
    try:
        for source, names in wanted.items():
            for symbol, price in prices.load_many(source, names).items():
                found[source, symbol] = Decimal(repr(price.price))
    except redis.RedisError:
        return {}
    return found


def _equity(free: Decimal | None, positions: list[Position]) -> Decimal | None:
    if free is None:
        return None
    worths = [position.worth for position in positions]
    known = [worth for worth in worths if worth is not None]
    return free + sum(known, ZERO) if len(known) == len(worths) else None


def _last_screen() -> ScreenRun | None:
    """The last look at a minute's bots."""
    return ScreenRun.objects.filter(trigger=BotRun.Trigger.MINUTE).order_by("-slot", "-chunk").first()
