"""Requests in the admin, with the two actions that end a quarantined one; each is confirmed with a reason."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from bots import doubts
from bots.actors import wake_bot
from bots.models import BotConfig
from tradebot.errors import TradebotError
from trading.admin import OrderRequestAdmin
from trading.models import OrderRequest

MOST_AT_ONCE = 20  # each one asks the exchange
CONFIRMATION = "admin/bots/reason_confirmation.html"


def confirm(
    page: admin.ModelAdmin,
    request: HttpRequest,
    rows: models.QuerySet[Any],
    action: str,
    title: str,
    text: str,
) -> HttpResponse:
    """The page that asks for a reason before the action is carried out."""
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "text": text,
        "opts": page.opts,
        "rows": rows,
        "action": action,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, CONFIRMATION, context)


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the visitor has come from that page."""
    return request.POST.get("confirmed") == "yes"


class DoubtAdmin(OrderRequestAdmin):
    """Requests; quarantined ones are ended from the list."""

    actions = ["resolve_accepted", "resolve_not_placed"]  # type: ignore[assignment]

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        """Who may; the service checks whose account it is."""
        return request.user.has_perm("trading.resolve_orderrequest")  # type: ignore[union-attr]

    def get_actions(self, request: HttpRequest) -> Any:
        """Nothing is deleted here."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description="Resolve as accepted: book what the exchange has", permissions=["resolve"])
    def resolve_accepted(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        """The exchange has it."""
        text = (
            "The exchange is asked once more; what these requests executed is booked, what is open withdrawn:"
        )
        return self._resolve(request, queryset, "ACCEPTED", "Resolve as accepted?", text)

    @admin.action(description="Resolve as not placed: free money and signal", permissions=["resolve"])
    def resolve_not_placed(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        """The exchange does not have it."""
        text = "The exchange is asked for these requests once more; refused if it knows one of them:"
        return self._resolve(request, queryset, "NOT_PLACED", "Resolve as not placed?", text)

    def _resolve(
        self, request: HttpRequest, queryset: models.QuerySet[Any], outcome: str, title: str, text: str
    ) -> HttpResponse | None:
        if queryset.count() > MOST_AT_ONCE:
            self.message_user(request, f"Choose at most {MOST_AT_ONCE} requests at a time.", messages.ERROR)
            return None
        if not is_confirmed(request):
            return confirm(self, request, queryset, f"resolve_{outcome.lower()}", title, text)
        reason = request.POST.get("reason", "")
        for row in queryset.select_related("account__user", "bot"):
            try:
                _, entry = doubts.doubt_resolve(request=row, outcome=outcome, reason=reason, by=request.user)
            except TradebotError as error:
                self.message_user(request, f"{row.client_id}: {error}", messages.ERROR)
            else:
                transaction.on_commit(partial(wake_bot, row.bot_id, entry.pk), robust=True)
                self.message_user(request, f"Resolved: {row.client_id} is {outcome}.", messages.SUCCESS)
        return None


@admin.action(description="Clear the hold", permissions=["change"])
def clear_hold(
    page: admin.ModelAdmin, request: HttpRequest, queryset: models.QuerySet[BotConfig]
) -> HttpResponse | None:
    """End the holds of the chosen bots, once a reason was given."""
    if queryset.count() > MOST_AT_ONCE:
        page.message_user(request, f"Choose at most {MOST_AT_ONCE} bots at a time.", messages.ERROR)
        return None
    if not is_confirmed(request):
        text = "Their holds end; after a drift the exchange is asked first, and must agree with the journal:"
        return confirm(page, request, queryset, "clear_hold", "Clear the holds of these bots?", text)
    for bot in queryset.select_related("account", "user"):
        try:
            entry = doubts.hold_clear(bot=bot, reason=request.POST.get("reason", ""), by=request.user)
        except TradebotError as error:
            page.message_user(request, f"{bot.name}: {error}", messages.ERROR)
        else:
            transaction.on_commit(partial(wake_bot, bot.pk, entry.pk), robust=True)
            page.message_user(request, f"Cleared: {bot.name}.", messages.SUCCESS)
    return None


admin.site.unregister(OrderRequest)
admin.site.register(OrderRequest, DoubtAdmin)
