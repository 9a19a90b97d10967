"""Limits across bots in the admin: one row for each account, and one for the owner."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from tradebot.admin_base import OwnedAdmin, number_column, plain
from tradebot.errors import InvalidInput
from trading.limits_service import (
    AMOUNTS,
    COUNTS,
    FIELDS,
    already_set,
    limits_change,
    limits_check,
    limits_create,
)
from trading.models import RiskLimits


def _typed(name: str, label: str) -> forms.CharField:
    """A field that hands on what was typed: limits_check says what is wrong with it."""
    help_text = str(RiskLimits._meta.get_field(name).help_text)  # type: ignore[union-attr]
    return forms.CharField(label=label, help_text=help_text, required=False, strip=False)


class LimitsForm(forms.ModelForm):
    """Limits as their owner enters them; empty fields do not limit."""

    max_daily_loss = _typed("max_daily_loss", AMOUNTS["max_daily_loss"])
    max_exposure_per_coin = _typed("max_exposure_per_coin", AMOUNTS["max_exposure_per_coin"])
    max_exposure = _typed("max_exposure", AMOUNTS["max_exposure"])
    max_open_positions = _typed("max_open_positions", COUNTS["max_open_positions"])
    max_orders_per_minute = _typed("max_orders_per_minute", COUNTS["max_orders_per_minute"])
    visitor: Any = None  # set by the admin for each request

    class Meta:
        model = RiskLimits
        fields = ["user", "account", *FIELDS]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in AMOUNTS:
            value = getattr(self.instance, name)
            if value is not None:
                self.initial[name] = plain(value)
        if "account" in self.fields:
            account: Any = self.fields["account"]
            account.empty_label = "All accounts together"

    def clean(self) -> dict[str, Any]:
        """Check what was entered."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        try:
            cleaned |= limits_check({name: cleaned.get(name) for name in FIELDS})
            if self.instance.pk is None:
                self._check_new(cleaned)
        except InvalidInput as error:
            raise ValidationError(dict(error.fields) or str(error)) from None
        return cleaned

    def _post_clean(self) -> None:
        """The model's own checks are for values that passed ours: before, they are only texts."""
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]

    def _check_new(self, cleaned: dict[str, Any]) -> None:
        account = cleaned.get("account")
        user = account.user if account else cleaned.get("user", self.visitor)
        if RiskLimits.objects.filter(user=user, account=account).exists():
            raise already_set(account)


@admin.register(RiskLimits)
class RiskLimitsAdmin(OwnedAdmin):
    """Limits."""

    form = LimitsForm
    list_display = [
        "scope",
        *[number_column(name, label) for name, label in AMOUNTS.items()],
        *COUNTS,
        "loss_reached_on",
        "owner",
    ]
    list_select_related = ["user", "account"]

    @admin.display(description="for", ordering="account__name")
    def scope(self, limits: RiskLimits) -> str:
        """The account, or all of them."""
        return f"account {limits.account.name}" if limits.account else "all accounts together"

    @admin.display(description="owner", ordering="user__username")
    def owner(self, limits: RiskLimits) -> str:
        """Whose limits they are."""
        return str(limits.user)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The owner only for superusers."""
        fields = ["account", *FIELDS]
        return ["user", *fields] if request.user.is_superuser else fields  # type: ignore[union-attr]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Whose they are never changes."""
        return ["user", "account"] if obj else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """The form, which knows who fills it in."""
        form = super().get_form(request, obj, change, **options)
        return type(form.__name__, (form,), {"visitor": request.user})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the limits through their services."""
        data = form.cleaned_data
        values = {name: data.get(name) for name in FIELDS}
        if change:
            saved = limits_change(limits=obj, by=request.user, values=values)
        else:
            account = data.get("account")
            user = account.user if account else data.get("user", request.user)
            saved = limits_create(user=user, account=account, values=values)
        obj.__dict__.update(saved.__dict__)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Add or change; what was taken between check and store is a message, too."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except InvalidInput as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.path)

    def empty_sentence(self, request: HttpRequest) -> str:
        """What it means."""
        return "No limits yet: only each bot's own settings limit what it does."
