"""manage.py feed: keep candles and prices of the series that bots read, and have closed candles screened."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from bots import schedule
from bots.actors import candles_closed
from marketdata import symbols
from marketdata.actors import warm_up_futures_symbols, warm_up_spot_symbols
from marketdata.feed import Feed
from tradebot import clock
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import source_for


def fetch_missing_symbols() -> None:
    """Have the symbols fetched that Redis has not: the schedule's turn may be a quarter of an hour away."""
    for market, actor in (("spot", warm_up_spot_symbols), ("futures", warm_up_futures_symbols)):
        sources = [source_for(environment, market) for environment in settings.SYMBOL_SOURCES]
        if any(symbols.counters(source).refreshed_at is None for source in sources):
            actor.send()


class Command(BaseCommand):
    """The feed process; one a cluster."""

    help = "Fetches closed candles and prices for all bots until it is told to stop."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGINT or SIGTERM."""
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        fetch_missing_symbols()
        Feed(schedule.series_in_use, candles_closed, ExchangeClient, clock.now).run_forever(stop)
