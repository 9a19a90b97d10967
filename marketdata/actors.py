"""Actors of the market data: the two schedules that keep the symbol caches warm. Thin; symbols.py does it."""

from __future__ import annotations

import logging
from typing import Any

import dramatiq
from django.conf import settings
from periodiq import cron

from marketdata import symbols
from marketdata.schedule import is_refresh_due, refresh_cron
from tradebot.binance.sources import source_for
from tradebot.clock import now

logger = logging.getLogger(__name__)

_OPTIONS: dict[str, Any] = {
    "queue_name": "background",
    "max_retries": 0,
    "time_limit": 120_000,  # ms
    "max_age": 300_000,  # ms; the next one comes anyway
    "periodic": cron(refresh_cron(settings.SYMBOLS_REFRESH_MINUTES)),
}


@dramatiq.actor(**_OPTIONS)  # type: ignore[untyped-decorator]
def warm_up_spot_symbols() -> None:
    """Refresh the spot symbols of every source in SYMBOL_SOURCES."""
    _warm_up("spot")


@dramatiq.actor(**_OPTIONS)  # type: ignore[untyped-decorator]
def warm_up_futures_symbols() -> None:
    """Refresh the futures symbols of every source in SYMBOL_SOURCES."""
    _warm_up("futures")


def _warm_up(market: str) -> None:
    for environment in settings.SYMBOL_SOURCES:
        source = source_for(environment, market)
        refreshed_at = symbols.counters(source).refreshed_at
        if is_refresh_due(now(), refreshed_at, settings.SYMBOLS_REFRESH_MINUTES):
            done = symbols.refresh(source)
            if done.ok:
                logger.info("%d symbols of %s %s.", done.symbols, done.source, done.market)
