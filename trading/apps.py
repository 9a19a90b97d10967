"""Django app of trading."""

from __future__ import annotations

from django.apps import AppConfig


class TradingConfig(AppConfig):
    """Accounts, the journal of requests, orders and fills, and the state that a run locks."""

    name = "trading"
    verbose_name = "Trading"
