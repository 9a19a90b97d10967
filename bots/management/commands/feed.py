"""manage.py feed: keep candles and prices of the series that bots read, and have closed candles screened."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from bots import schedule
from bots.actors import candles_closed
from marketdata.feed import Feed
from tradebot import clock
from tradebot.binance.client import ExchangeClient


class Command(BaseCommand):
    """The feed process; one a cluster."""

    help = "Fetches closed candles and prices for all bots until it is told to stop."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGINT or SIGTERM."""
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        Feed(schedule.series_in_use, candles_closed, ExchangeClient, clock.now).run_forever(stop)
