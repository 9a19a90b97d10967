"""Django app of bots."""

from __future__ import annotations

from django.apps import AppConfig


class BotsConfig(AppConfig):
    """Bots, their inbox and their runs."""

    name = "bots"
    verbose_name = "Bots and runs"

    def ready(self) -> None:
        """Register the system checks."""
        from tradebot import checks  # noqa: F401 -- it reads the settings, which must be there
