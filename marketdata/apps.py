"""The Django app of the market data."""

from __future__ import annotations

from django.apps import AppConfig


class MarketdataConfig(AppConfig):
    """What the market says; knows nothing of bots and orders."""

    name = "marketdata"
    verbose_name = "Market data"
