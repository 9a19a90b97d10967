"""What only futures bots do in a run: the symbol's setup before an entry, and a position that is gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bots.models import BotConfig
from bots.snapshot import MarketCache, doubtful_lanes, snapshot
from marketdata.types import Price, SymbolRules
from tradebot.binance.client import ExchangeClient
from tradebot.errors import ExchangeError, KeyRefused
from trading import external, income, setups
from trading.decide import decide
from trading.models import BotState
from trading.types import BotView, Decision, MarketView, StateView


def make_sure(config: BotConfig, client: ExchangeClient, price: Price | None, now: datetime) -> None:
    """Before the lock: if an entry is due, have leverage, margin type and mode on the exchange as wanted.

    What could not be done is remembered, and decide_entries() tells it. Raises KeyRefused.
    """
    if config.market != "futures":
        return
    state = BotState.objects.get(bot_id=config.pk)
    if state.in_position or not setups.missing(config.account_id, config.symbol, config.leverage, now):
        return
    market = MarketCache([config], now)
    lanes = doubtful_lanes([config.pk]).get(config.pk, set())
    view = snapshot(config, state, market, lanes)
    decision = decide(view.bot, view.state, market.view(config, price), now)
    if _enters(decision):
        setups.ensure(config.account_id, config.symbol, config.leverage, client, now)


def decide_entries(
    config: BotConfig, bot: BotView, state: StateView, market: MarketView, now: datetime
) -> Decision:
    """decide(), and on futures no entry unless the exchange is known to have what the bot wants."""
    decision = decide(bot, state, market, now)
    if config.market != "futures" or not _enters(decision):
        return decision
    why_not = setups.missing(config.account_id, config.symbol, config.leverage, now)
    if not why_not:
        return decision
    return decide(bot, state, replace(market, entries_allowed=False, entries_note=why_not), now)


def book_gone(
    config: BotConfig, client: ExchangeClient, rules: SymbolRules | None, now: datetime
) -> external.Reconciled:
    """After an exit that found no position: book who closed it, and the fee of a liquidation with it.

    Raises BotBusy and the client's errors; the next look wishes the exit again, and comes here again.
    """
    found = external.reconcile(config.pk, client=client, rules=rules, now=now)
    if found.by_exchange:
        try:
            income.book_income(config.account, client, now)
        except KeyRefused:
            raise
        except ExchangeError:
            pass  # the periodic actor asks again
    return found


def _enters(decision: Decision) -> bool:
    return any(wish.purpose == "ENTRY" for wish in decision.wishes)
