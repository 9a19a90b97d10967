"""Kill switches in the admin: set one (its level is typed to confirm), see what is on, repeat it, lift it."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from bots import services_kill
from bots.actors import carry_out_kill_switch, deliver_soon, wake_bots
from bots.kill_check import FIELDS
from tradebot.admin_base import OwnedAdmin, short_html
from tradebot.clock import now
from tradebot.errors import InvalidInput, Refused
from trading.models import KillSwitch
from trading.models.fields import Market

WAIT_SECONDS = 1.0  # a page waits no longer for entries on their way; an actor does
MOST_AT_ONCE = 100
INTRO = (
    "From the moment of saving no new entry of these bots is sent; exits, stops and recovery run on. "
    "Fill in only what the scope asks for: the owner, the account, the bot, or market and symbol (and an "
    "account, unless it is for all). A switch that is on for the same scope gets the higher level."
)


class KillSwitchForm(forms.ModelForm):
    """A switch as somebody sets it; bots.kill_check says what is wrong with it."""

    market = forms.ChoiceField(choices=[("", "---------"), *Market.choices], required=False)
    symbol = forms.CharField(required=False, help_text="Like BTCUSDT.")
    reason = forms.CharField(max_length=None, help_text="A few words; bots and notifications show them.")
    confirm = forms.CharField(
        label="Type the level", help_text="no_entries, cancel or flatten: the level that you have chosen."
    )
    visitor: Any = None  # set by the admin for each request

    class Meta:
        model = KillSwitch
        fields = FIELDS

    def values(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """What was entered, as the service takes it."""
        values = {name: cleaned.get(name) for name in FIELDS}
        for name in ("user", "account", "bot"):
            values[name] = getattr(values[name], "pk", None)
        return values

    def clean(self) -> dict[str, Any]:
        """Check what was entered."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        if cleaned["confirm"] != cleaned["level"]:
            raise ValidationError(
                {"confirm": f"Type {cleaned['level']} to confirm, or choose another level."}
            )
        try:
            services_kill.check(by=self.visitor, values=self.values(cleaned))
        except InvalidInput as error:
            known = {name: text for name, text in error.fields.items() if name in self.fields}
            raise ValidationError(known or str(error)) from None
        return cleaned

    def _post_clean(self) -> None:
        """The row is made by the service, which has checked all of it."""


class InForceFilter(admin.SimpleListFilter):
    """On, or lifted."""

    title = "in force"
    parameter_name = "in_force"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The two."""
        return [("yes", "On"), ("no", "Lifted")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Those."""
        return queryset.filter(lifted_at__isnull=self.value() == "yes") if self.value() else queryset


@admin.register(KillSwitch)
class KillSwitchAdmin(OwnedAdmin):
    """Switches, lifted ones too. They are set, repeated and lifted here, never edited or deleted."""

    form = KillSwitchForm
    list_display = ["key", "level", "is_on", "short_reason", "set_by", "set_at", "drained_at", "lifted_at"]
    list_filter = [InForceFilter, "scope", "level"]
    search_fields = ["key", "reason"]
    list_select_related = ["set_by"]
    actions = ["repeat", "lift"]

    @admin.display(description="on", boolean=True)
    def is_on(self, switch: KillSwitch) -> bool:
        """Whether it is in force."""
        return switch.lifted_at is None

    @admin.display(description="reason", ordering="reason")
    def short_reason(self, switch: KillSwitch) -> str:
        """Why."""
        return short_html(switch.reason)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """All columns of a switch; for a new one what is to be entered, the owner only for superusers."""
        if obj is not None:
            return [(None, {"fields": [field.name for field in KillSwitch._meta.fields]})]
        is_root = request.user.is_superuser  # type: ignore[union-attr]
        fields = [name for name in (*FIELDS, "confirm") if is_root or name != "user"]
        return [(None, {"fields": fields, "description": INTRO})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of a switch that is set."""
        return [field.name for field in KillSwitch._meta.fields] if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """The form, which knows who fills it in."""
        form = super().get_form(request, obj, change, **options)
        return type(form.__name__, (form,), {"visitor": request.user})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Set the switch; once its row is committed, it is carried out."""
        values = form.values(form.cleaned_data)
        switch = services_kill.begin(by=request.user, values=values, now=now())
        transaction.on_commit(partial(_carry_out, switch.pk), robust=True)
        obj.__dict__.update(switch.__dict__)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Set one; what has become wrong between check and store is a message, too."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except InvalidInput as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.path)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: it is lifted, and another one is set."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: it is part of what happened."""
        return False

    def has_lift_permission(self, request: HttpRequest) -> bool:
        """Who may change kill switches may repeat and lift their own."""
        return bool(request.user.has_perm("trading.change_killswitch"))

    @admin.action(description="Carry out again (wait, cancel, close)", permissions=["lift"])
    def repeat(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Do again what the chosen switches want, by an actor."""
        chosen = list(queryset.filter(lifted_at__isnull=True)[:MOST_AT_ONCE])
        for switch in chosen:
            transaction.on_commit(partial(carry_out_kill_switch.send, switch.pk), robust=True)
        self.message_user(request, f"Asked for {len(chosen)} kill switches.", messages.SUCCESS)

    @admin.action(description="Lift (bots enter again by new signals)", permissions=["lift"])
    def lift(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        """Lift the chosen switches, once it was confirmed."""
        chosen = queryset.filter(Q(lifted_at__isnull=True)).order_by("pk")[:MOST_AT_ONCE]
        if request.POST.get("confirmed") == "yes":
            for switch in chosen:
                self._lift(request, switch)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Lift these kill switches?",
            "opts": self.opts,
            "switches": [(switch, services_kill.covered(switch).count()) for switch in chosen],
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/trading/killswitch/lift_confirmation.html", context)

    def _lift(self, request: HttpRequest, switch: KillSwitch) -> None:
        try:
            services_kill.lift(switch=switch, by=request.user, now=now())
        except (Refused, InvalidInput) as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        self.log_change(request, switch, "Lifted.")
        transaction.on_commit(deliver_soon, robust=True)
        self.message_user(request, f"Lifted {switch.key}.", messages.SUCCESS)

    def empty_sentence(self, request: HttpRequest) -> str:
        """What it means."""
        return "No kill switch was ever set. Bots enter as their own settings and limits allow."


def _carry_out(switch_id: int) -> None:
    """After the commit: what can be done at once, and an actor for the rest."""
    switch = KillSwitch.objects.get(pk=switch_id)
    switch = services_kill.carry_out(switch, wake=wake_bots, wait_seconds=WAIT_SECONDS)
    if switch.drained_at is None:
        carry_out_kill_switch.send(switch_id)
    deliver_soon()
