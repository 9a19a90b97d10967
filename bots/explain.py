"""Why a bot does what it does right now: decide() on view, writing nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bots.models import BotConfig
from bots.snapshot import MarketCache, doubtful_lanes, snapshot
from trading import plan, resting
from trading.decide import decide
from trading.models import BotState
from trading.types import Decision


@dataclass(frozen=True, slots=True)
class Explained:
    """What the next look would decide, and whether a run would do something about it."""

    decision: Decision
    acts: bool


def explain(config: BotConfig, now: datetime) -> Explained:
    """What the next look would decide, with its reasons in plain words. Reads caches only, takes no lock."""
    state = BotState.objects.get(bot_id=config.pk)
    market = MarketCache([config], now)
    lanes = doubtful_lanes([config.pk]).get(config.pk, set())
    live = resting.live_orders([config.pk]).get(config.pk, [])
    view = snapshot(config, state, market, lanes, live)
    decision = decide(view.bot, view.state, view.market, now)
    step = plan.next_step(decision.wishes, view.state.live, market=config.market, busy_lanes=lanes)
    return Explained(decision, step is not None or decision.has_news)
