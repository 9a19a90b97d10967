"""The market data in the admin: holes in the candles and pauses of the exchange, to look at only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from marketdata.models import CandleHole, ExchangeGate


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that the program writes, and nobody by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False


@admin.register(CandleHole)
class CandleHoleAdmin(ReadOnlyAdmin):
    """Holes are found by the feed."""

    list_display = ["symbol", "interval", "market", "source", "start", "end", "found_at"]
    list_filter = ["market", "interval"]
    search_fields = ["symbol"]


@admin.register(ExchangeGate)
class ExchangeGateAdmin(ReadOnlyAdmin):
    """Pauses end by themselves."""

    list_display = ["name", "closed_at", "until"]
