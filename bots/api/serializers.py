"""How rows read in JSON. Fields are the models' own, so that a new column shows without a line here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from bots import kill_check
from bots.models import BotConfig, BotInbox, BotRun
from bots.notifications.models import Delivery, NotificationChannel
from bots.notifications.services import EVENTS
from bots.validation import FIELDS
from tradebot.clock import now
from trading import limits_service
from trading.models import (
    BotState,
    ExchangeAccount,
    KillSwitch,
    OrderRequest,
    Orphan,
    RiskLimits,
    Trade,
)
from trading.quarantine import OUTCOMES


def plain(value: Decimal | None) -> str | None:
    """A Decimal without an exponent and without zeros at its end."""
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class PlainDecimalField(serializers.DecimalField):
    """A Decimal as a string that people read."""

    def to_representation(self, value: Any) -> str | None:
        """ "1000", "0.1"; never "1E+3" or "1000.000000000000000000"."""
        return plain(Decimal(value))


class RowSerializer(serializers.ModelSerializer):
    """Columns by their own names; Decimals are plain strings."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DecimalField: PlainDecimalField,
    }


class BotSerializer(RowSerializer):
    """A bot's configuration, and in short where it stands; the rest is under state/."""

    status = serializers.CharField(source="state.status", read_only=True)
    status_reason = serializers.CharField(source="state.status_reason", read_only=True)
    in_position = serializers.BooleanField(source="state.in_position", read_only=True)
    last_error_message = serializers.CharField(source="state.last_error_message", read_only=True)

    class Meta:
        model = BotConfig
        exclude = ["deleted_at"]


class BotSettingsSerializer(RowSerializer):
    """What is sent to create or change a bot; bots.validation is what judges it."""

    class Meta:
        model = BotConfig
        fields = ["account", *FIELDS]


class OutlookSerializer(serializers.Serializer):
    """What the next look would decide now."""

    acts = serializers.BooleanField(help_text="Whether it would send or remember something.")
    status = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())


class BotStateSerializer(RowSerializer):
    """A bot's state. What was counted on another UTC day reads as nothing."""

    daily_pnl = serializers.SerializerMethodField()
    daily_trades_count = serializers.SerializerMethodField()
    daily_limit = serializers.SerializerMethodField()
    price = serializers.SerializerMethodField(help_text="The last known price, in quote units.")
    price_at = serializers.SerializerMethodField()
    unrealized_pnl = serializers.SerializerMethodField(help_text="At that price, before fees.")
    outlook = serializers.SerializerMethodField()
    outlook_error = serializers.SerializerMethodField(help_text="Why the outlook is not known, or empty.")

    class Meta:
        model = BotState
        exclude = ["id", "epoch", "seq"]

    def get_daily_pnl(self, state: BotState) -> str:
        """Realised today, in quote units."""
        return plain(state.daily_pnl if _is_today(state) else Decimal(0)) or "0"

    def get_daily_trades_count(self, state: BotState) -> int:
        """Entries of today."""
        return state.daily_trades_count if _is_today(state) else 0

    def get_daily_limit(self, state: BotState) -> str:
        """loss or target, once reached today."""
        return state.daily_limit if _is_today(state) else ""

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_price(self, state: BotState) -> str | None:
        return plain(self.context["view"].price)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_price_at(self, state: BotState) -> Any:
        return self.context["view"].price_at

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_unrealized_pnl(self, state: BotState) -> str | None:
        return plain(self.context["view"].unrealized_pnl)

    @extend_schema_field(OutlookSerializer(allow_null=True))
    def get_outlook(self, state: BotState) -> dict[str, Any] | None:
        explained = self.context["view"].outlook
        if explained is None:
            return None
        decision = explained.decision
        return {"acts": explained.acts, "status": decision.status, "reasons": list(decision.reasons)}

    def get_outlook_error(self, state: BotState) -> str:
        return str(self.context["view"].outlook_error)


class AccountSerializer(RowSerializer):
    """An account; whether it has a key, never the key."""

    has_key = serializers.BooleanField(read_only=True)

    class Meta:
        model = ExchangeAccount
        fields = [
            *[field.name for field in ExchangeAccount._meta.fields],
            "has_key",
        ]


class AccountSettingsSerializer(RowSerializer):
    """What is sent to create or change an account. A paper account needs no key."""

    api_key = serializers.CharField(required=False, write_only=True)
    api_secret = serializers.CharField(required=False, write_only=True)

    class Meta:
        model = ExchangeAccount
        fields = ["name", "environment", "is_exclusive", "api_key", "api_secret"]


class TradeSerializer(RowSerializer):
    """One filled order."""

    class Meta:
        model = Trade
        exclude = ["order"]


class RunSerializer(RowSerializer):
    """A run that wanted something."""

    class Meta:
        model = BotRun
        exclude = ["epoch"]


class InboxSerializer(RowSerializer):
    """Something asked of a bot, and what came of it once it was handled."""

    id = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = BotInbox
        fields = ["id", "url", "bot", "kind", "created_at", "handled_at", "result"]

    def get_id(self, entry: BotInbox) -> str:
        """inbox- and its number: no run has such an id."""
        return f"inbox-{entry.pk}"

    @extend_schema_field(serializers.URLField())
    def get_url(self, entry: BotInbox) -> str:
        where: str = reverse("run", [self.get_id(entry)], request=self.context.get("request"))
        return where


class DoubtSerializer(RowSerializer):
    """A request whose outcome is, or was, not known. Its payload stays inside."""

    class Meta:
        model = OrderRequest
        fields = [
            "id",
            "bot",
            "account",
            "market",
            "symbol",
            "lane",
            "kind",
            "client_id",
            "state",
            "reason",
            "code",
            "http_status",
            "created_at",
            "resolved_at",
            "late_at",
            "next_ask_at",
            "superseded_by",
        ]


class ResolveSerializer(serializers.Serializer):
    """What is sent to end a quarantined request."""

    outcome = serializers.ChoiceField(OUTCOMES)
    reason = serializers.CharField(max_length=500, help_text="Kept in the audit log.")


class ClearHoldSerializer(serializers.Serializer):
    """What is sent to clear a bot's hold."""

    reason = serializers.CharField(max_length=500, help_text="Kept in the audit log.")


class EventsField(serializers.ListField):
    """What a channel is told of."""

    child = serializers.ChoiceField(EVENTS)


class ChannelSerializer(RowSerializer):
    """A notification channel; its secret never."""

    events = EventsField()

    class Meta:
        model = NotificationChannel
        exclude = ["taken_until", "waits_until", "silences"]


class ChannelMadeSerializer(ChannelSerializer):
    """A channel with the secret that was just made for it: the only answer that holds one."""

    secret = serializers.CharField(
        allow_null=True, read_only=True, help_text="Shown this once; null where none was made."
    )


class ChannelChangeSerializer(RowSerializer):
    """What is sent to change a channel."""

    events = EventsField()

    class Meta:
        model = NotificationChannel
        fields = ["name", "target", "events", "bot", "is_active"]


class SecretSerializer(serializers.Serializer):
    """A signing secret of one's own, or none to have one made."""

    secret = serializers.CharField(
        required=False, write_only=True, help_text="whsec_ and 24 to 64 bytes in base64; webhooks only."
    )


class ChannelSettingsSerializer(SecretSerializer, ChannelChangeSerializer):
    """What is sent to create a channel; bots.notifications.services is what judges it."""

    class Meta:
        model = NotificationChannel
        fields = ["kind", "name", "target", "events", "bot", "is_active", "secret"]


class DeliverySerializer(RowSerializer):
    """One message on its way to one channel."""

    event = serializers.CharField(source="message.event", read_only=True)
    message_id = serializers.CharField(
        source="message.message_id", read_only=True, help_text="The webhook-id header."
    )

    class Meta:
        model = Delivery
        exclude = ["message"]


class LimitsSerializer(RowSerializer):
    """Limits of one account, or over all accounts where account is null. A null limit does not limit."""

    class Meta:
        model = RiskLimits
        fields = "__all__"


class LimitsChangeSerializer(RowSerializer):
    """What is sent to change limits; null is none."""

    class Meta:
        model = RiskLimits
        fields = limits_service.FIELDS


class LimitsSettingsSerializer(RowSerializer):
    """What is sent to set limits."""

    class Meta:
        model = RiskLimits
        fields = ("account", *limits_service.FIELDS)


class KillSwitchSerializer(RowSerializer):
    """A kill switch; in force while lifted_at is null."""

    class Meta:
        model = KillSwitch
        exclude = ["key"]


class KillSwitchSettingsSerializer(RowSerializer):
    """What is sent to set one; bots.kill_check is what judges it. user is for superusers."""

    class Meta:
        model = KillSwitch
        fields = kill_check.FIELDS


class KillSwitchLiftSerializer(RowSerializer):
    """Why it is lifted, for the audit log; may be left out."""

    reason = serializers.CharField(required=False, max_length=100)

    class Meta:
        model = KillSwitch
        fields = ("reason",)


class OrphanSerializer(RowSerializer):
    """An order on the exchange that the journal lacks; `resolved_at` is null while it is open."""

    class Meta:
        model = Orphan
        exclude = ["body", "by"]


def _is_today(state: BotState) -> bool:
    return state.trading_day == now().date()
