"""What runs and screens did, and what waits in the inbox: to look at only."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.contrib import admin
from django.http import HttpRequest

from bots.models import BotInbox, BotRun, DeadLetter, ScreenRun
from tradebot.admin_base import JournalAdmin, number_column, number_html, short_html
from tradebot.clock import now, slot_of


@admin.register(BotRun)
class BotRunAdmin(JournalAdmin):
    """Runs that wanted something."""

    owner_path = "bot__user"
    list_display = ["slot", "bot", "trigger", "outcome", "short_reasons", "started_at", "took_number"]
    list_filter = ["outcome", "trigger"]
    search_fields = ["bot__name", "bot__symbol", "key"]
    list_select_related = ["bot"]

    @admin.display(description="reasons", ordering="reasons")
    def short_reasons(self, run: BotRun) -> str:
        """Why it did what it did."""
        return short_html(run.reasons)

    @admin.display(description="took (s)")
    def took_number(self, run: BotRun) -> str:
        """Seconds from start to end."""
        took = None if run.finished_at is None else (run.finished_at - run.started_at).total_seconds()
        return number_html(took if took is None else round(Decimal(took), 2))

    def empty_sentence(self, request: HttpRequest) -> str:
        """Why there may be none."""
        return "No runs yet. A bot that holds leaves none; the first comes with the first signal."


@admin.register(BotInbox)
class BotInboxAdmin(JournalAdmin):
    """What reached the bots from outside, and what came of it."""

    owner_path = "bot__user"
    list_display = ["created_at", "bot", "kind", "handled_at", "short_result"]
    list_filter = ["kind", ("handled_at", admin.EmptyFieldListFilter)]
    search_fields = ["bot__name", "bot__symbol"]
    list_select_related = ["bot"]

    @admin.display(description="result", ordering="result")
    def short_result(self, entry: BotInbox) -> str:
        """What came of it."""
        return short_html(entry.result)


@admin.register(ScreenRun)
class ScreenRunAdmin(JournalAdmin):
    """That bots were looked at; the rows tell of all owners' bots, so only superusers see them."""

    owner_path = ""
    list_display = [
        "slot",
        "trigger",
        *[number_column(name) for name in ("chunk", "bots", "held", "acted", "locked", "stale")],
        "finished_at",
    ]
    list_filter = ["trigger"]

    def empty_sentence(self, request: HttpRequest) -> str:
        """When the next one is."""
        next_look = slot_of(now()) + timedelta(minutes=1)
        return f"No screens yet. Bots are looked at each minute; the next look is at {next_look:%H:%M} UTC."


@admin.register(DeadLetter)
class DeadLetterAdmin(JournalAdmin):
    """Messages that were put aside; they are of all owners, so only superusers see them."""

    owner_path = ""
    list_display = ["first_at", "actor", "queue", number_column("attempts"), "dead_at", "short_reason"]
    list_filter = ["actor", ("dead_at", admin.EmptyFieldListFilter)]

    @admin.display(description="reason", ordering="reason")
    def short_reason(self, letter: DeadLetter) -> str:
        """Why no worker takes it."""
        return short_html(letter.reason)
