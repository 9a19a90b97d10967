"""A bot as somebody looks at it: its state, the last price, and what the next look would decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import redis

from bots.explain import Explained, explain
from bots.models import BotConfig
from bots.snapshot import source_of
from marketdata import prices
from tradebot.clock import now
from tradebot.errors import TradebotError
from trading.models import BotState

NO_REDIS = "Not known: Redis does not answer."


@dataclass(frozen=True, slots=True)
class BotOutlook:
    """What is known of a bot now. Prices and PnL in quote units; None is not known."""

    state: BotState
    price: Decimal | None
    price_at: datetime | None
    unrealized_pnl: Decimal | None
    outlook: Explained | None
    outlook_error: str


def state_of(bot: BotConfig) -> BotOutlook:
    """The bot's state with what the caches say of it. Reads only; without Redis there is less to say."""
    state = BotState.objects.get(bot_id=bot.pk)
    explained, error = None, ""
    price, price_at = None, None
    try:
        found = prices.load_many(source_of(bot), [bot.symbol]).get(bot.symbol)
        if found is not None:
            price, price_at = Decimal(repr(found.price)), found.at
        explained = explain(bot, now())
    except TradebotError as failure:
        error = str(failure)
    except redis.RedisError:
        error = NO_REDIS
    return BotOutlook(state, price, price_at, unrealized(state, price), explained, error)


def unrealized(state: BotState, price: Decimal | None) -> Decimal | None:
    """What closing the position at `price` would realise before fees; a short has a negative size."""
    if not state.in_position or state.entry_price is None:
        return Decimal(0)
    return None if price is None else (price - state.entry_price) * state.current_position_size_coins
