"""From rows to the values that decide() takes: one bot for a run, many for a screen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bots.models import BotConfig
from marketdata import prices, symbols
from marketdata.intervals import interval_ms
from marketdata.types import Price, SymbolRules
from tradebot.binance import budget, outage
from tradebot.binance.sources import Source, source_for
from tradebot.errors import StaleData
from trading import brackets, kill, protocol, requests, signals
from trading.filters import quantity_to_lots
from trading.models import BotState, Order, OrderRequest
from trading.models.journal import DOUBT_STATES
from trading.resting import as_live
from trading.signals import SignalKey
from trading.types import BotView, MarketView, Protection, Signal, StateView

FAR_LOTS = 10**15  # a position whose rules are not known counts as sellable, by any number of lots


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A bot as one look sees it."""

    config: BotConfig
    source: Source
    bot: BotView
    state: StateView
    market: MarketView


def source_of(config: BotConfig) -> Source:
    """Where the bot's account trades."""
    return source_for(config.account.environment, config.market)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def bot_view(config: BotConfig) -> BotView:
    """The configuration as decide() reads it."""
    return BotView(
        bot_id=config.pk,
        market=config.market,
        symbol=config.symbol,
        interval=config.interval,
        strategy=config.strategy,
        strategy_params=config.strategy_params,
        position_type=config.position_type,
        leverage=config.leverage,
        initial_capital=float(config.initial_capital),
        position_size_perc=float(config.position_size_perc),
        risk_per_trade_perc=_number(config.risk_per_trade_perc),
        protection=Protection(
            stop_loss_perc=_number(config.stop_loss_perc),
            take_profit_perc=_number(config.take_profit_perc),
            trailing_stop_perc=_number(config.trailing_stop_perc),
            trailing_activation_perc=_number(config.trailing_activation_perc),
            trailing_step_perc=float(config.trailing_step_perc),
        ),
        cooldown_minutes=config.cooldown_minutes,
        max_daily_trades=config.max_daily_trades,
        max_daily_loss_perc=_number(config.max_daily_loss_perc),
        daily_target_perc=_number(config.daily_target_perc),
        close_on_daily_limit=config.close_on_daily_limit,
        compound=config.compound,
        is_active=config.is_active and config.deleted_at is None,
    )


def state_view(
    state: BotState,
    rules: SymbolRules | None,
    doubtful_lanes: Iterable[str],
    live: Iterable[Order] = (),
) -> StateView:
    """The state as decide() reads it; the position in whole lots, rounded down.

    The size is positive on either side: the bot's position_type tells the side.
    """
    size = state.current_position_size_coins
    lanes = set(doubtful_lanes)
    held = quantity_to_lots(rules, size) if rules else FAR_LOTS
    return StateView(
        epoch=state.epoch,
        status=state.status,
        position_lots=held if state.in_position else 0,
        entry_price=_number(state.entry_price),
        entry_signal_time=state.entry_signal_time,
        entry_time=state.entry_time,
        protection=Protection(**state.protection) if state.protection else None,
        trailing_stop_price=_number(state.trailing_stop_price),
        exit_wanted=state.exit_wanted or None,
        last_exit_at=state.last_exit_at,
        last_signal_time=state.last_signal_time,
        trading_day=state.trading_day,
        daily_pnl=float(state.daily_pnl),
        daily_trades_count=state.daily_trades_count,
        daily_limit=state.daily_limit or None,
        realized_total=float(state.realized_total),
        entry_in_doubt="entry" in lanes,
        exit_in_doubt="exit" in lanes,
        hold=state.hold or None,
        live=tuple(as_live(order, rules) for order in live),
        stop_passed_at=state.stop_passed_at,
    )


def doubtful_lanes(bot_ids: Iterable[int]) -> dict[int, set[str]]:
    """By bot, the lanes that requests in doubt keep closed."""
    doubts: dict[int, list[protocol.Request]] = {}
    for row in OrderRequest.objects.filter(bot_id__in=list(bot_ids), state__in=DOUBT_STATES):
        doubts.setdefault(row.bot_id, []).append(requests.view(row))
    return {bot_id: set(protocol.bars(found)) for bot_id, found in doubts.items()}


class MarketCache:
    """The market for many bots of one look: each source, price and signal is read once."""

    def __init__(self, configs: Iterable[BotConfig], now: datetime, *, has_switches: bool = True) -> None:
        """Without `has_switches` no kill switch is read: it is known that none is in force."""
        wanted: dict[Source, set[str]] = {}
        self._keys: dict[int, SignalKey] = {}
        for config in configs:
            source = source_of(config)
            wanted.setdefault(source, set()).add(config.symbol)
            self._keys[config.pk] = signals.key_for(
                source, config.symbol, config.interval, config.strategy, config.strategy_params
            )
        self._prices = {source: prices.load_many(source, names) for source, names in wanted.items()}
        self._lists = {source: _listed(source) for source in wanted}
        self._closed = {source: bool(found and found.is_closed) for source, found in self._lists.items()}
        self._tiers = {source: brackets.load_many(source, names) for source, names in wanted.items()}
        self._notes = {source: _entries_note(source) for source in wanted}
        self._switches = kill.Switches() if has_switches else None
        self._signals = signals.load_many(self._keys.values(), now)

    def read_switches(self) -> None:
        """Read the kill switches in force."""
        self._switches = kill.Switches()

    def rules(self, config: BotConfig) -> SymbolRules | None:
        """The symbol's rules, None where the symbol cache has none."""
        found = self._lists[source_of(config)]
        return found.by_symbol.get(config.symbol) if found else None

    def is_gone(self, config: BotConfig) -> bool:
        """Whether the exchange's list of symbols is known, and the bot's is not on it: it was delisted."""
        found = self._lists[source_of(config)]
        return found is not None and config.symbol not in found.by_symbol

    def signal(self, config: BotConfig) -> Signal | None:
        """The bot's signal, possibly a stale one."""
        return self._signals.get(self._keys[config.pk])

    def view(self, config: BotConfig, price: Price | None = None) -> MarketView:
        """The market as the bot sees it; `price` stands in for the cached one."""
        source = source_of(config)
        note = self._notes[source]
        tier = self._tiers[source].get(config.symbol)
        return MarketView(
            signal=self.signal(config),
            price=price or self._prices[source].get(config.symbol),
            rules=self.rules(config),
            interval_ms=interval_ms(config.interval),
            entries_allowed=not note,
            entries_note=note,
            kill_switch=self._switches.note(config) if self._switches else "",
            maintenance_rate=tier.maintenance_rate if tier else None,
            symbol_gone=self.is_gone(config),
            exchange_closed=self._closed[source],
        )


def _listed(source: Source) -> symbols.SymbolCache | None:
    try:
        return symbols.cached(source)
    except StaleData:
        return None


def _entries_note(source: Source) -> str:
    allowed, reason = budget.entries_allowed(source)
    return outage.entries_stopped(source) or ("" if allowed else reason)


def snapshot(
    config: BotConfig,
    state: BotState,
    market: MarketCache,
    lanes: Iterable[str],
    live: Iterable[Order] = (),
) -> Snapshot:
    """One bot, ready for decide(). `live` are its orders that may work on the exchange."""
    return Snapshot(
        config=config,
        source=source_of(config),
        bot=bot_view(config),
        state=state_view(state, market.rules(config), lanes, live),
        market=market.view(config),
    )
