"""Bots in the admin: the list with where each stands, the form, and start, pause, stop, run now."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from django.contrib import admin, messages
from django.contrib.admin import RelatedOnlyFieldListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join

from bots import services
from bots.actors import wake_bot
from bots.admin.doubts import clear_hold
from bots.admin.forms import BOT_FIELDSETS, BotForm
from bots.explain import explain
from bots.models import BotConfig, BotInbox
from tradebot.admin_base import OwnedAdmin, number_html, short_html, stacked_html, time_text
from tradebot.clock import now
from tradebot.errors import InvalidInput, Refused, TradebotError

MOST_AT_ONCE = 500  # bots an action takes: each one is a transaction of its own
MOST_TOLD = 20  # refusals that are shown one by one
STATE_FIELDS = [
    "active",
    "status_column",
    "outlook",
    "position_number",
    "entry_price_number",
    "pnl_today_number",
    "trades_today_number",
    "pnl_in_total_number",
    "last_run",
    "last_error",
]


class StatusFilter(admin.SimpleListFilter):
    """Statuses by their kind."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The kinds."""
        names = ("waiting", "in position", "entering", "exiting", "paused", "error")
        return [(name, name.capitalize()) for name in names]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Bots whose status begins so."""
        return queryset.filter(state__status__startswith=self.value()) if self.value() else queryset


@admin.register(BotConfig)
class BotConfigAdmin(OwnedAdmin):
    """The one page from which bots are run."""

    form = BotForm
    list_display = [
        "bot_column",
        "symbol_column",
        "active",
        "status_column",
        "position_number",
        "entry_price_number",
        "pnl_today_number",
        "trades_today_number",
        "last_run",
        "last_error",
    ]
    list_filter = ["is_active", StatusFilter, "strategy", "interval", ("account", RelatedOnlyFieldListFilter)]
    search_fields = ["name", "symbol", "account__name"]
    list_select_related = ["account", "state"]
    readonly_fields = STATE_FIELDS
    actions = ["start", "pause", "stop", "run_now", clear_hold]

    # -- columns

    @admin.display(description="bot", ordering="name")
    def bot_column(self, bot: BotConfig) -> str:
        """Its name, and what it trades by."""
        return stacked_html(bot.name, f"{bot.strategy} · {bot.interval}")

    @admin.display(description="symbol", ordering="symbol")
    def symbol_column(self, bot: BotConfig) -> str:
        """What it trades, and on which account."""
        return stacked_html(bot.symbol, bot.account)

    @admin.display(description="active", boolean=True, ordering="is_active")
    def active(self, bot: BotConfig) -> bool:
        """Whether it may enter."""
        return bot.is_active

    @admin.display(description="status", ordering="state__status")
    def status_column(self, bot: BotConfig) -> str:
        """The status and why; what a run said is marked with its time, for it may be old."""
        state = bot.state
        kind = state.status.split(" ")[0]
        tone = {"in": "position", "paused": "paused", "error": "error"}.get(kind, "plain")
        status = format_html('<span class="status status-{}">{}</span>', tone, state.status)
        if not state.status_reason:
            return status
        if state.last_run_at and state.status_reason not in services.REASONS_BY_HAND:
            at = format_html(' <small class="quiet">at last run {}</small>', f"{state.last_run_at:%H:%M:%S}")
            status = format_html("{}{}", status, at)
        return format_html("{}{}", status, short_html(state.status_reason))

    @admin.display(description="next look")
    def outlook(self, bot: BotConfig) -> str:
        """What a look would decide now, and why; reckoned when somebody opens the page."""
        try:
            decision = explain(bot, now()).decision
        except TradebotError as error:
            return str(error)
        except redis.RedisError:
            return "Not known: Redis does not answer."
        lines = ((reason,) for reason in decision.reasons or (decision.status,))
        return format_html_join("", "<div>{}</div>", lines)

    @admin.display(description="position")
    def position_number(self, bot: BotConfig) -> str:
        """Base units held."""
        return number_html(bot.state.current_position_size_coins if bot.state.in_position else None)

    @admin.display(description="entry price", ordering="state__entry_price")
    def entry_price_number(self, bot: BotConfig) -> str:
        """Average, in quote units."""
        return number_html(bot.state.entry_price)

    @admin.display(description="PnL today")
    def pnl_today_number(self, bot: BotConfig) -> str:
        """Realised in this UTC day, in quote units; a counter of another day reads as zero."""
        is_today = bot.state.trading_day == now().date()
        return number_html(bot.state.daily_pnl if is_today else 0, money=True, signed=True)

    @admin.display(description="trades today")
    def trades_today_number(self, bot: BotConfig) -> str:
        """Entries of this UTC day."""
        is_today = bot.state.trading_day == now().date()
        return number_html(bot.state.daily_trades_count if is_today else 0)

    @admin.display(description="PnL in total")
    def pnl_in_total_number(self, bot: BotConfig) -> str:
        """Realised since ever, in quote units."""
        return number_html(bot.state.realized_total, money=True, signed=True)

    @admin.display(description="last run", ordering="state__last_run_at")
    def last_run(self, bot: BotConfig) -> str:
        """When it last acted or failed."""
        return time_text(bot.state.last_run_at)

    @admin.display(description="last error", ordering="state__last_error_message")
    def last_error(self, bot: BotConfig) -> str:
        """What failed last."""
        return short_html(bot.state.last_error_message)

    # -- rows and form

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Without deleted bots."""
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The configuration, and on the page of a bot where it stands."""
        return [("State", {"fields": STATE_FIELDS}), *BOT_FIELDSETS] if obj else BOT_FIELDSETS

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """The form, which knows who fills it in."""
        form = super().get_form(request, obj, change, **options)
        return type(form.__name__, (form,), {"visitor": request.user})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the bot through its services."""
        account = form.cleaned_data["account"]
        if change:
            saved = services.bot_change(bot=obj, values=form.validated, account=account, by=request.user)
        else:
            saved = services.bot_create(user=account.user, account=account, values=form.validated)
        obj.__dict__.update(saved.__dict__)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Add or change; what the service refuses under its lock is a message, too."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (InvalidInput, Refused) as error:
            return self._refused(request, error)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete through the service, which may refuse."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except (InvalidInput, Refused) as error:
            return self._refused(request, error)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """The bot leaves every list; its journal stays."""
        services.bot_delete(bot=obj, by=request.user)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Nothing but the bot itself: no row is removed."""
        return [str(bot) for bot in objs], {"bots": len(objs)}, set(), []

    def get_actions(self, request: HttpRequest) -> Any:
        """Those of this page; deleting goes one by one."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def empty_sentence(self, request: HttpRequest) -> str:
        """How to begin."""
        return "No bots yet. Add an account, then a bot on it, and start it with the action of this list."

    # -- actions

    @admin.action(description="Start", permissions=["change"])
    def start(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Start the chosen bots."""
        self._act(request, queryset, services.bot_start, "Started")

    @admin.action(description="Pause (exits run on)", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Pause the chosen bots."""
        self._act(request, queryset, services.bot_pause, "Paused")

    @admin.action(description="Stop (pause and close the position)", permissions=["change"])
    def stop(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        """Stop the chosen bots, once it was confirmed."""
        if request.POST.get("confirmed") == "yes" or self._too_many(request, queryset):
            self._act(request, queryset, services.bot_stop, "Stopped")
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Stop these bots and close their positions?",
            "opts": self.opts,
            "bots": queryset.select_related("account", "state"),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/bots/botconfig/stop_confirmation.html", context)

    @admin.action(description="Run now", permissions=["change"])
    def run_now(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Have the chosen bots looked at now."""
        self._act(request, queryset, services.bot_run_now, "Asked for a run of")

    def _act(
        self, request: HttpRequest, queryset: models.QuerySet[Any], service: Callable[..., Any], done: str
    ) -> None:
        """Call the service for each bot and tell what came of it."""
        if self._too_many(request, queryset):
            self.message_user(request, f"Choose at most {MOST_AT_ONCE} bots at a time.", messages.ERROR)
            return
        names, refusals = [], []
        for bot in queryset.select_related("account", "user"):
            try:
                with transaction.atomic():
                    made = service(bot=bot, by=request.user)
                    self.log_change(request, bot, f"{done}.")
                    if isinstance(made, BotInbox) and made.handled_at is None:
                        transaction.on_commit(partial(wake_bot, bot.pk, made.pk), robust=True)
                names.append(bot.name)
            except (Refused, InvalidInput) as error:
                refusals.append(str(error))
        if names:
            self.message_user(request, f"{done}: {', '.join(names)}.", messages.SUCCESS)
        for text in refusals[:MOST_TOLD]:
            self.message_user(request, text, messages.ERROR)
        if len(refusals) > MOST_TOLD:
            more = len(refusals) - MOST_TOLD
            self.message_user(request, f"{more} more were refused.", messages.ERROR)

    def _too_many(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> bool:
        return queryset.count() > MOST_AT_ONCE

    def _refused(self, request: HttpRequest, error: Exception) -> HttpResponse:
        self.message_user(request, str(error), messages.ERROR)
        return HttpResponseRedirect(request.path)
