"""Reconciliation in the admin: when accounts were compared, and orders that the journal lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import RelatedOnlyFieldListFilter
from django.db import models
from django.http import HttpRequest

from bots import reconciling
from bots.actors import sweep_soon
from tradebot.admin_base import JournalAdmin, number_column, short_html, stacked_html
from tradebot.errors import TradebotError
from trading.models import AccountSweep, Orphan

MOST_AT_ONCE = 50  # each one asks the exchange


@admin.register(AccountSweep)
class AccountSweepAdmin(JournalAdmin):
    """When each account was compared with the exchange, and what was found."""

    owner_path = "account__user"
    list_display = ["account", "market", "swept_at", "doubtful", "short_findings", "short_error"]
    list_filter = ["doubtful", ("account", RelatedOnlyFieldListFilter), "market"]
    list_select_related = ["account"]

    @admin.display(description="findings")
    def short_findings(self, row: AccountSweep) -> str:
        """Of the last comparison."""
        return short_html("; ".join(row.findings))

    @admin.display(description="error")
    def short_error(self, row: AccountSweep) -> str:
        """Why it could not be compared."""
        return short_html(row.error)

    def empty_sentence(self, request: HttpRequest) -> str:
        """When rows come."""
        return "No account was compared with the exchange yet; each one is, within minutes of its first bot."


@admin.register(Orphan)
class OrphanAdmin(JournalAdmin):
    """Orders on the exchange that the journal lacks; adopted or cancelled from the list."""

    owner_path = "account__user"
    actions = ["adopt", "cancel"]  # type: ignore[assignment]
    list_display = [
        "found_at",
        "account_column",
        "symbol",
        "kind",
        "order_column",
        number_column("quantity"),
        number_column("executed"),
        "status",
        "resolution",
    ]
    list_filter = [
        "kind",
        ("resolved_at", admin.EmptyFieldListFilter),
        ("account", RelatedOnlyFieldListFilter),
        "market",
    ]
    search_fields = ["symbol", "client_id", "bot__name"]
    list_select_related = ["account", "bot"]

    @admin.display(description="account", ordering="account__name")
    def account_column(self, orphan: Orphan) -> str:
        """The account, and the bot that it may belong to."""
        return stacked_html(orphan.account, orphan.bot or "no bot")

    @admin.display(description="order", ordering="client_id")
    def order_column(self, orphan: Orphan) -> str:
        """Side and type, and the client id."""
        return stacked_html(f"{orphan.side} {orphan.type}", orphan.client_id)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may change orphans at all; the services check whose account it is."""
        return request.user.has_perm("trading.change_orphan")  # type: ignore[union-attr]

    def get_actions(self, request: HttpRequest) -> Any:
        """Nothing is deleted here."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description="Adopt: make it its bot's order", permissions=["act"])
    def adopt(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Adopt the chosen orders."""
        self._act(request, queryset, reconciling.orphan_adopt, "Adopted")

    @admin.action(description="Cancel at the exchange", permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Cancel the chosen orders."""
        self._act(request, queryset, reconciling.orphan_cancel, "Cancelled")

    def _act(
        self, request: HttpRequest, queryset: models.QuerySet[Any], act: Callable[..., Any], done: str
    ) -> None:
        if queryset.count() > MOST_AT_ONCE:
            self.message_user(request, f"Choose at most {MOST_AT_ONCE} orders at a time.", messages.ERROR)
            return
        for orphan in queryset.select_related("account__user"):
            try:
                act(orphan=orphan, by=request.user)
            except TradebotError as error:
                self.message_user(request, f"{orphan.client_id}: {error}", messages.ERROR)
            else:
                self.message_user(request, f"{done}: {orphan.client_id}.", messages.SUCCESS)
                sweep_soon(orphan.account_id, orphan.market)

    def empty_sentence(self, request: HttpRequest) -> str:
        """What it means."""
        return "No orders are missing: the journal has every order that the exchange shows."
