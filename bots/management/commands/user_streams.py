"""manage.py user_streams: hear at once what happens to the accounts' orders and balances."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand

from bots.user_streams import UserStreams
from tradebot import clock


class Command(BaseCommand):
    """The process of the user streams; one a cluster. A second one hears the same and changes nothing."""

    help = "Listens to the user streams of all accounts with bots until it is told to stop."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGINT or SIGTERM."""
        asyncio.run(_run())


async def _run() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await UserStreams(clock.now).run(stop)
