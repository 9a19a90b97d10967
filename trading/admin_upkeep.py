"""Admin pages of the deployment's nonces and of the checks of the books; for superusers."""

from __future__ import annotations

from django.contrib import admin

from tradebot.admin_base import JournalAdmin
from trading.models import BooksCheck, Deployment


@admin.register(Deployment)
class DeploymentAdmin(JournalAdmin):
    """Nonces of client ids; the newest is in force."""

    owner_path = ""
    list_display = ["nonce", "started_at", "reason"]


@admin.register(BooksCheck)
class BooksCheckAdmin(JournalAdmin):
    """What the hourly checks found."""

    owner_path = ""
    list_display = ["at", "scope", "found_number", "seconds", "error"]
    list_filter = ["scope"]

    @admin.display(description="findings")
    def found_number(self, check: BooksCheck) -> int:
        """How many."""
        return len(check.findings)
