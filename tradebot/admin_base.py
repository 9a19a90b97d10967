"""What the admin pages of all apps share: rows by owner, journals to look at only, and how values read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import formats
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.timezone import localtime

EMPTY = "-"
MOST_DECIMALS = 8  # the exchange has no more
MONEY_DECIMALS = (2, 4)  # whole cents, all else
MONEY = {"commission_quote": "fees", "realized_pnl": "PnL"}  # columns of the journal in quote units


def plain(value: Decimal | None) -> str:
    """A Decimal in full, without an exponent and without zeros at its end; a dash for None."""
    if value is None:
        return EMPTY
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def number_text(value: Decimal | int | None, *, money: bool = False) -> str:
    """A number as people read it: at most 8 decimals, no zeros at the end; money (quote) with 2 or 4.

    What would read as zero but is none keeps its first two digits.
    """
    if value is None:
        return EMPTY
    exact = Decimal(value)
    rounded = round(exact, MONEY_DECIMALS[1] if money else MOST_DECIMALS)
    if exact and not rounded:
        rounded = round(exact, 1 - exact.adjusted())
    text = plain(rounded + 0)  # + 0: no "-0"
    if not money:
        return text
    whole, _, decimals = text.partition(".")
    wanted = MONEY_DECIMALS[len(decimals) > MONEY_DECIMALS[0]]
    return f"{whole}.{decimals.ljust(wanted, '0')}"


def number_html(value: Decimal | int | None, *, money: bool = False, signed: bool = False) -> str:
    """The number as it stands in a list; a `signed` one is green above zero and red below it."""
    tone = ""
    if signed and value:
        tone = " number-gain" if value > 0 else " number-loss"
    return format_html('<span class="number{}">{}</span>', tone, number_text(value, money=money))


def number_column(
    name: str, label: str | None = None, *, money: bool = False, signed: bool = False
) -> Callable[[Any], str]:
    """A column that shows the number at `name` ("state__daily_pnl" follows relations) to the right.

    The style sheet puts the headings of columns whose name ends in "_number" to the right, too.
    """

    @admin.display(description=label or name.split("__")[-1].replace("_", " "), ordering=name)
    def column(row: Any) -> str:
        value = row
        for part in name.split("__"):
            value = getattr(value, part)
        return number_html(value, money=money, signed=signed)

    column.__name__ = f"{name}_number"
    return column


def time_text(moment: datetime | None) -> str:
    """A time as everywhere in the admin: "2026-11-24 07:49:02 UTC"; Django formats a model's columns only."""
    return EMPTY if moment is None else str(formats.localize(localtime(moment)))


def stacked_html(main: Any, under: Any) -> str:
    """Two values in one cell, the second one small under the first."""
    return format_html('{}<small class="under">{}</small>', EMPTY if main is None else main, under)


def short_html(text: str) -> str:
    """The two lines of a text that fit; all of it shows when the pointer rests there."""
    if not text:
        return EMPTY
    return format_html('<span class="reason" title="{}">{}</span>', text, Truncator(text).chars(200))


class OwnedAdmin(admin.ModelAdmin):
    """Rows of their owner: other staff users find them as little as rows that do not exist.

    `owner_path` leads from the row to its owner; "" means that the rows are nobody's, and only superusers
    look at them.
    """

    owner_path = "user"
    list_per_page = 50
    show_full_result_count = False
    change_list_template = "admin/tradebot_list.html"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """All rows for a superuser, else one's own."""
        rows = super().get_queryset(request)
        if request.user.is_superuser:  # type: ignore[union-attr]
            return rows
        return rows.filter(**{self.owner_path: request.user}) if self.owner_path else rows.none()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As Django's, but rows that are nobody's are for superusers."""
        allowed = bool(self.owner_path) or request.user.is_superuser  # type: ignore[union-attr]
        return allowed and super().has_view_permission(request, obj)

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        """Only rows that the visitor may see can be chosen."""
        related = self.admin_site._registry.get(db_field.remote_field.model)
        if isinstance(related, OwnedAdmin):
            options.setdefault("queryset", related.get_queryset(request))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def empty_sentence(self, request: HttpRequest) -> str:
        """What an empty list says; "" for nothing."""
        return ""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, which says why it is empty when it is."""
        context = {"empty_sentence": self.empty_sentence(request)} | (extra_context or {})
        return super().changelist_view(request, context)


class JournalAdmin(OwnedAdmin):
    """Rows that only the machinery writes: nobody adds, changes or deletes them here."""

    actions = None

    def __init__(self, model: type[models.Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        self._columns = [
            number_column(field.name, MONEY.get(field.name), money=field.name in MONEY)
            if isinstance(field, models.DecimalField)
            else field.name
            for field in model._meta.fields
        ]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Every column; numbers without the zeros at their end."""
        return self._columns

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of them."""
        return self._columns

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False
