"""Django app of bots."""

from __future__ import annotations

from django.apps import AppConfig


class BotsConfig(AppConfig):
    """Bots, their inbox and their runs."""

    name = "bots"
    verbose_name = "Bots and runs"

    def ready(self) -> None:
        """Register the system checks, and what keeps the exchange's pauses."""
        from bots.gates import KEEPER
        from tradebot import checks  # noqa: F401 -- it reads the settings, which must be there
        from tradebot.binance import gate_memory

        gate_memory.register(KEEPER)
