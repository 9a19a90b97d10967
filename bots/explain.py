"""Why a bot does what it does right now: decide() on view, writing nothing."""

from __future__ import annotations

from datetime import datetime

from bots.models import BotConfig
from bots.snapshot import MarketCache, doubtful_lanes, snapshot
from trading.decide import decide
from trading.models import BotState
from trading.types import Decision


def explain(config: BotConfig, now: datetime) -> Decision:
    """What the next look would decide, with its reasons in plain words. Reads caches only, takes no lock."""
    state = BotState.objects.get(bot_id=config.pk)
    market = MarketCache([config], now)
    lanes = doubtful_lanes([config.pk]).get(config.pk, set())
    view = snapshot(config, state, market, lanes)
    return decide(view.bot, view.state, view.market, now)
