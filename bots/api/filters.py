"""Filters and orderings of the lists: each takes known values only and says which, and refuses the rest."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from bots.models import BotRun
from bots.notifications.models import Delivery, NotificationChannel
from tradebot.inputs import shown
from trading.models import KillSwitch, Orphan
from trading.models.fields import Market
from trading.models.journal import DOUBT_STATES

FIRST_YEAR, LAST_YEAR = 2000, 2999
KINDS = ("waiting", "in position", "entering", "exiting", "paused", "error")


class _IdField(forms.RegexField):
    def __init__(self, **options: Any) -> None:
        messages = {"invalid": "must be the number of a row, like 7."}
        super().__init__(r"\A[0-9]{1,18}\Z", error_messages=messages, **options)


class _MomentField(forms.CharField):
    """An ISO 8601 time with its offset."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValidationError(
                f"must be a time with its offset, like 2026-04-01T12:00:00Z; not {shown(text)}."
            )
        return moment.astimezone(UTC)


@extend_schema_field(OpenApiTypes.INT)
class IdFilter(django_filters.Filter):
    """Rows that belong to one row."""

    field_class = _IdField


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentFilter(django_filters.Filter):
    """Rows from a time on (`gte`), or before it (`lt`)."""

    field_class = _MomentField


class SymbolFilter(django_filters.CharFilter):
    """Rows of one symbol, written as the exchange does."""

    def __init__(self) -> None:
        super().__init__(max_length=40, error_messages={"max_length": "must have at most 40 characters."})


class OneOf(django_filters.ChoiceFilter):
    """Rows with one of a few known values."""

    def __init__(self, choices: Iterable[str], **options: Any) -> None:
        known = tuple(choices)
        messages = {"invalid_choice": f"must be one of {', '.join(known)}."}
        super().__init__(choices=[(value, value) for value in known], error_messages=messages, **options)


class Flag(OneOf):
    """Rows where something is true, or false."""

    def __init__(self, **options: Any) -> None:
        super().__init__(("true", "false"), **options)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Nothing said: all."""
        return super().filter(qs, value == "true") if value else qs


class Ordering(OneOf):
    """Rows by one of a few columns, upwards or downwards; those that are equal by their id."""

    def __init__(self, **columns: str) -> None:
        self.columns = columns
        super().__init__([sign + name for name in columns for sign in ("", "-")])

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Nothing said: the list's own order."""
        if not value:
            return qs
        sign = "-" if value.startswith("-") else ""
        return qs.order_by(f"{sign}{self.columns[value.removeprefix('-')]}", f"{sign}pk")


class _Form(forms.Form):
    """Turns the errors of fields into sentences, and looks at both ends of a span."""

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name, end in list(values.items()):
            start = values.get(f"{name.removesuffix('_before')}_after") if name.endswith("_before") else None
            if start and end and end <= start:
                self.add_error(name, "must be later than the beginning.")
        return values

    def full_clean(self) -> None:
        super().full_clean()
        for name, errors in self.errors.items():
            # django-filter formats the message with %: what the user wrote may hold one
            texts = [f"{name} {text}".replace("%", "%%") for text in list(errors)]
            errors.data = [ValidationError(text) for text in texts]


class Filters(django_filters.FilterSet):
    """The base of all."""

    class Meta:
        form = _Form


class BotFilters(Filters):
    """Bots; a kind of status ("paused") stands for all of its kind."""

    status = OneOf(KINDS, method="of_status")
    symbol = SymbolFilter()
    market = OneOf(Market.values)
    is_active = Flag()
    account = IdFilter(field_name="account_id")
    ordering = Ordering(
        id="id",
        name="name",
        symbol="symbol",
        status="state__status",
        created_at="created_at",
        updated_at="updated_at",
    )

    def of_status(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Those whose status is that, or that with something in brackets."""
        return rows.filter(Q(state__status=value) | Q(state__status__startswith=f"{value} ("))


class AccountFilters(Filters):
    """Accounts."""

    environment = OneOf(("paper", "testnet", "live"))
    ordering = Ordering(id="id", name="name", created_at="created_at")


class TradeFilters(Filters):
    """Trades of one bot."""

    symbol = SymbolFilter()
    side = OneOf(("BUY", "SELL"))
    created_at_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_at_before = MomentFilter(field_name="created_at", lookup_expr="lt")
    ordering = Ordering(created_at="created_at", realized_pnl="realized_pnl")


class AllTradeFilters(TradeFilters):
    """Trades of all bots, deleted ones too."""

    bot_config = IdFilter(field_name="bot_config_id")


class RunFilters(Filters):
    """Runs of one bot."""

    trigger = OneOf(BotRun.Trigger.values)
    started_at_after = MomentFilter(field_name="started_at", lookup_expr="gte")
    started_at_before = MomentFilter(field_name="started_at", lookup_expr="lt")
    ordering = Ordering(started_at="started_at")


class ChannelFilters(Filters):
    """Notification channels."""

    kind = OneOf(NotificationChannel.Kind.values)
    is_active = Flag()
    bot = IdFilter(field_name="bot_id")
    ordering = Ordering(id="id", name="name", created_at="created_at")


class DeliveryFilters(Filters):
    """Deliveries."""

    channel = IdFilter(field_name="channel_id")
    state = OneOf(Delivery.State.values)
    ordering = Ordering(created_at="created_at")


class DoubtFilters(Filters):
    """Requests whose outcome is open."""

    account = IdFilter(field_name="account_id")
    bot = IdFilter(field_name="bot_id")
    state = OneOf(DOUBT_STATES)
    ordering = Ordering(id="id", created_at="created_at")


class LimitsFilters(Filters):
    """Limits across bots."""

    account = IdFilter(field_name="account_id")
    ordering = Ordering(id="id", updated_at="updated_at")


class KillSwitchFilters(Filters):
    """Kill switches; `in_force` are those that were not lifted."""

    scope = OneOf(KillSwitch.Scope.values)
    in_force = Flag(field_name="lifted_at", lookup_expr="isnull")
    account = IdFilter(field_name="account_id")
    bot = IdFilter(field_name="bot_id")
    ordering = Ordering(id="id", set_at="set_at")


class OrphanFilters(Filters):
    """Orders that the journal lacks."""

    account = IdFilter(field_name="account_id")
    bot = IdFilter(field_name="bot_id")
    market = OneOf(Market.values)
    symbol = SymbolFilter()
    kind = OneOf(Orphan.Kind.values)
    open = Flag(field_name="resolved_at", lookup_expr="isnull")
    ordering = Ordering(id="id", found_at="found_at")
