"""Notification channels in the admin. Signing secrets go in and never come out; deliveries are to look at."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from bots.actors import deliver_soon
from bots.models import Delivery, NotificationChannel
from bots.notifications import services
from tradebot.admin_base import JournalAdmin, OwnedAdmin, short_html
from tradebot.errors import InvalidInput, Refused
from trading.models import OutboxMessage

hide_secret = method_decorator(sensitive_post_parameters("secret"))
EVENT_CHOICES = [(event, OutboxMessage.Event(event).label.capitalize()) for event in services.EVENTS]
MOST_TESTS = 20  # channels that one action tests


class ChannelForm(forms.ModelForm):
    """A channel as its owner enters it; the checks are those of bots.notifications.services."""

    name = forms.CharField(max_length=None)
    target = forms.CharField(
        max_length=None, label="Address", help_text="https://… for a webhook, else an e-mail address."
    )
    events = forms.MultipleChoiceField(
        choices=EVENT_CHOICES, widget=forms.CheckboxSelectMultiple, initial=list(services.EVENTS)
    )
    secret = forms.CharField(
        label="Signing secret",
        required=False,
        strip=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "size": 70}),
    )
    rotate = forms.BooleanField(
        label="New secret",
        required=False,
        help_text="Make a new signing secret; for 24 hours messages are signed with the old one, too.",
    )
    visitor: Any = None  # set by the admin for each request

    class Meta:
        model = NotificationChannel
        fields = ["user", "name", "kind", "target", "events", "bot", "is_active"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "secret" in self.fields:
            self.fields["secret"].help_text = (
                "Webhooks only. whsec_ and base64, or empty to have one made and shown once."
                if self.instance.pk is None
                else "Webhooks only. Empty: keep the present one, which can't be shown."
            )

    def clean(self) -> dict[str, Any]:
        """Check what was entered; messages never repeat a secret."""
        cleaned = super().clean() or self.cleaned_data
        channel = self.instance if self.instance.pk else None
        if self.errors:
            return cleaned
        try:
            values = services.channel_check(
                user=channel.user if channel else cleaned.get("user", self.visitor),
                name=cleaned["name"],
                kind=channel.kind if channel else cleaned["kind"],
                target=cleaned["target"],
                events=cleaned["events"],
                bot=cleaned.get("bot"),
                is_active=cleaned["is_active"],
                channel=channel,
            )
            services.checked_secret(values["kind"], cleaned.get("secret", ""))
        except InvalidInput as error:
            raise ValidationError(dict(error.fields) or str(error)) from None
        return cleaned | values

    def _post_clean(self) -> None:
        """The model's own checks are for values that passed ours: before, they are only texts."""
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]


@admin.register(NotificationChannel)
class NotificationChannelAdmin(OwnedAdmin):
    """Channels, with what came of the last message."""

    form = ChannelForm
    list_display = ["name", "kind", "short_target", "event_names", "bot", "is_active", "result", "last_at"]
    list_filter = ["kind", "is_active"]
    search_fields = ["name"]
    list_select_related = ["bot", "user"]
    actions = ["send_test"]

    @admin.display(description="address", ordering="target")
    def short_target(self, channel: NotificationChannel) -> str:
        """Where it goes."""
        return short_html(channel.target)

    @admin.display(description="events")
    def event_names(self, channel: NotificationChannel) -> str:
        """What it is told of."""
        return ", ".join(channel.events)

    @admin.display(description="last result", ordering="last_result")
    def result(self, channel: NotificationChannel) -> str:
        """What came of the last message."""
        return short_html(channel.last_result)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The secret only for those who may change it; the owner only for superusers."""
        fields = ["name", "kind", "target", "events", "bot", "is_active"]
        if request.user.is_superuser:  # type: ignore[union-attr]
            fields.insert(0, "user")
        if obj is None:
            return [*fields, "secret"] if self.has_add_permission(request) else fields
        if obj.kind == NotificationChannel.Kind.WEBHOOK and self.has_change_permission(request, obj):
            fields += ["secret", "rotate"]
        return [*fields, "result", "last_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Owner and kind never change."""
        return ["user", "kind", "result", "last_at"] if obj else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """The form, which knows who fills it in."""
        form = super().get_form(request, obj, change, **options)
        return type(form.__name__, (form,), {"visitor": request.user})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the channel through its services; a secret that was made is shown this once."""
        data = form.cleaned_data
        common = {name: data.get(name) for name in ("name", "target", "events", "bot", "is_active")}
        made = None
        if change:
            saved = services.channel_change(channel=obj, by=request.user, **common)
            if data.get("secret") or data.get("rotate"):
                made = services.channel_rotate_secret(
                    channel=obj, by=request.user, secret=data.get("secret", "")
                )
        else:
            made = services.channel_create(
                user=data.get("user", request.user), kind=data["kind"], secret=data["secret"], **common
            )
            saved = made.channel
        obj.__dict__.update(saved.__dict__)
        if made is not None and made.secret is not None:
            text = f"The signing secret of {saved.name}, shown this once: {made.secret.reveal()}"
            self.message_user(request, text, messages.WARNING)

    @hide_secret
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

    @admin.action(description="Send a test", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """A test message to each chosen channel; the list shows what came of it."""
        if queryset.count() > MOST_TESTS:
            self.message_user(request, f"Choose at most {MOST_TESTS} channels at a time.", messages.ERROR)
            return
        for channel in queryset:
            try:
                services.channel_test(channel=channel, by=request.user)
            except (InvalidInput, Refused) as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                text = f"A test is on its way to {channel.name}; look at its last result in a moment."
                self.message_user(request, text, messages.SUCCESS)
        transaction.on_commit(deliver_soon, robust=True)

    def empty_sentence(self, request: HttpRequest) -> str:
        """How to begin."""
        return "No channels yet: add one to be told of trades, errors and limits by webhook or e-mail."


@admin.register(Delivery)
class DeliveryAdmin(JournalAdmin):
    """What was sent, or waits to be."""

    owner_path = "channel__user"
    list_display = [
        "created_at",
        "channel",
        "event",
        "state",
        "attempts",
        "next_try_at",
        "delivered_at",
        "short_error",
    ]
    list_filter = ["state", "message__event"]
    search_fields = ["channel__name", "message__message_id"]
    list_select_related = ["channel", "message"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Every column, and what the message says."""
        return [*super().get_fields(request, obj), "payload"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of them."""
        return self.get_fields(request, obj)

    @admin.display(description="event", ordering="message__event")
    def event(self, delivery: Delivery) -> str:
        """What it is about."""
        return delivery.message.event

    @admin.display(description="data")
    def payload(self, delivery: Delivery) -> Any:
        """What it says."""
        return delivery.message.payload

    @admin.display(description="last error", ordering="last_error")
    def short_error(self, delivery: Delivery) -> str:
        """Why it did not arrive yet."""
        return short_html(delivery.last_error)
