"""The market data in the admin: holes in the candles, to look at only."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from marketdata.models import CandleHole


@admin.register(CandleHole)
class CandleHoleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Holes are found by the feed; nobody writes them by hand."""

    list_display = ["symbol", "interval", "market", "source", "start", "end", "found_at"]
    list_filter = ["market", "interval"]
    search_fields = ["symbol"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: CandleHole | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: CandleHole | None = None) -> bool:
        """Never."""
        return False
