"""Bots, what reaches them from outside, and what their runs and screens did."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q

from bots.notifications.models import ChannelSecret, Delivery, NotificationChannel
from trading.models import BotState, ExchangeAccount
from trading.models.fields import Market, amount

__all__ = [
    "BotConfig",
    "BotInbox",
    "BotRun",
    "BotState",
    "ChannelSecret",
    "DeadLetter",
    "Delivery",
    "NotificationChannel",
    "ScreenRun",
]


def _percent(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=9, decimal_places=4, **options)


def _default_params() -> dict[str, Any]:
    return {}


class BotConfig(models.Model):
    """What a bot trades and how. Percentages are 0 to 100; stop and target are of the entry price."""

    class PositionType(models.TextChoices):
        LONG = "long", "Long"
        SHORT = "short", "Short"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="bots")
    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="bots")
    name = models.CharField(max_length=100)
    market = models.CharField(max_length=8, choices=Market.choices, default=Market.SPOT)
    symbol = models.CharField(max_length=40)
    interval = models.CharField(max_length=4, default="1m")
    is_active = models.BooleanField("active", default=False)
    strategy = models.CharField(max_length=40, default="ema_rsi")
    strategy_params = models.JSONField(default=_default_params, blank=True)
    position_type = models.CharField(max_length=5, choices=PositionType.choices, default=PositionType.LONG)
    leverage = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(125)]
    )
    initial_capital = amount(default=Decimal(1000), help_text="In the quote asset (USDT).")
    position_size_perc = _percent(default=Decimal(100), help_text="Of the capital, per entry.")
    risk_per_trade_perc = _percent(
        null=True, blank=True, help_text="Lose at most this much of the capital at the stop."
    )
    stop_loss_perc = _percent(null=True, blank=True)
    take_profit_perc = _percent(null=True, blank=True)
    trailing_stop_perc = _percent(null=True, blank=True)
    trailing_activation_perc = _percent(null=True, blank=True, help_text="Profit from which the stop trails.")
    trailing_step_perc = _percent(
        default=Decimal("0.1"), help_text="The stop moves when it is better by at least this."
    )
    cooldown_minutes = models.PositiveIntegerField(default=0)
    max_daily_trades = models.PositiveIntegerField(null=True, blank=True)
    max_daily_loss_perc = _percent(null=True, blank=True, help_text="Of the initial capital.")
    daily_target_perc = _percent(null=True, blank=True, help_text="Of the initial capital.")
    close_on_daily_limit = models.BooleanField(default=False)
    compound = models.BooleanField(
        default=False, help_text="Size entries by the capital plus what was earned."
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "bot"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"],
                condition=Q(deleted_at__isnull=True),
                name="bot_name_once_per_user",
            ),
            models.CheckConstraint(
                condition=Q(leverage__gte=1, leverage__lte=125), name="bot_leverage_1_to_125"
            ),
            models.CheckConstraint(
                condition=Q(market="futures") | Q(leverage=1, position_type="long"),
                name="bot_spot_is_long_without_leverage",
            ),
            models.CheckConstraint(condition=Q(initial_capital__gt=0), name="bot_capital_positive"),
            models.CheckConstraint(
                condition=Q(position_size_perc__gt=0, position_size_perc__lte=100),
                name="bot_position_size_0_to_100",
            ),
            models.CheckConstraint(
                condition=Q(stop_loss_perc__isnull=True) | Q(stop_loss_perc__gt=0, stop_loss_perc__lt=100),
                name="bot_stop_loss_0_to_100",
            ),
            models.CheckConstraint(
                condition=Q(take_profit_perc__isnull=True) | Q(take_profit_perc__gt=0),
                name="bot_take_profit_positive",
            ),
            models.CheckConstraint(
                condition=Q(trailing_stop_perc__isnull=True)
                | Q(trailing_stop_perc__gt=0, trailing_stop_perc__lt=100),
                name="bot_trailing_0_to_100",
            ),
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(is_active=False),
                name="bot_deleted_is_not_active",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; a new bot gets its state row in the same transaction."""
        with transaction.atomic():
            is_new = self._state.adding
            super().save(*args, **kwargs)
            if is_new:
                BotState.objects.get_or_create(bot=self)


class BotInbox(models.Model):
    """What reaches a bot from outside: run now, close, stop, a fill. Its id answers a request by hand."""

    class Kind(models.TextChoices):
        RUN = "run", "run now"
        STOP = "stop", "stop: pause and close the position"
        CLOSE = "close", "close the position"
        ORDER = "order", "an order changed on the exchange"

    bot = models.ForeignKey(BotConfig, on_delete=models.CASCADE, related_name="inbox")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    source_id = models.CharField(max_length=80)
    payload = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True, blank=True)
    result = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "inbox entry"
        verbose_name_plural = "inbox"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["bot", "kind", "source_id"], name="inbox_once"),
        ]
        indexes = [
            models.Index(fields=["bot"], condition=Q(handled_at__isnull=True), name="inbox_open"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class BotRun(models.Model):
    """A run that wanted something: it sent a request, was refused by a rule, or failed. A Hold has none."""

    class Trigger(models.TextChoices):
        MINUTE = "minute"
        CANDLE = "candle"
        INBOX = "inbox"
        RECOVERY = "recovery"

    bot = models.ForeignKey(BotConfig, on_delete=models.CASCADE, related_name="runs")
    trigger = models.CharField(max_length=10, choices=Trigger.choices)
    key = models.CharField(max_length=80)
    slot = models.DateTimeField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, default="started")  # traded, refused, failed, held ...
    reasons = models.TextField(blank=True, default="")
    epoch = models.BigIntegerField(default=0)
    config_version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name = "run"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["bot", "trigger", "key"], name="one_run"),  # I11
        ]
        indexes = [BrinIndex(fields=["started_at"], name="run_started", autosummarize=True)]  # for metrics

    def __str__(self) -> str:
        return f"{self.trigger} {self.key}"


class RunWatch(models.Model):
    """Whether a run of the bot is under way, and how many in a row had no end: their worker died."""

    bot = models.OneToOneField(
        BotConfig, on_delete=models.CASCADE, primary_key=True, related_name="run_watch"
    )
    begun_at = models.DateTimeField(null=True)
    crashes = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "watch of a bot's runs"
        verbose_name_plural = "watches of bots' runs"

    def __str__(self) -> str:
        return f"bot {self.bot_id}: {self.crashes} runs without an end"


class ScreenRun(models.Model):
    """That a chunk of bots was looked at in a slot, and what came of it."""

    slot = models.DateTimeField(db_index=True)
    trigger = models.CharField(max_length=10, choices=BotRun.Trigger.choices)
    chunk = models.PositiveIntegerField()
    bots = models.PositiveIntegerField(default=0)
    held = models.PositiveIntegerField(default=0)
    acted = models.PositiveIntegerField(default=0)
    locked = models.PositiveIntegerField(default=0)
    stale = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "screen"
        ordering = ["-slot", "chunk"]
        constraints = [
            models.UniqueConstraint(fields=["slot", "trigger", "chunk"], name="one_screen"),
        ]

    def __str__(self) -> str:
        return f"{self.slot:%H:%M} {self.trigger} {self.chunk}"


class DeadLetter(models.Model):
    """A message that no worker could work on, or that is being tried; `dead_at` says when it was given up."""

    message_id = models.CharField(max_length=64, unique=True)
    queue = models.CharField(max_length=40)
    actor = models.CharField(max_length=100)
    arguments = models.TextField(blank=True, default="")
    attempts = models.PositiveSmallIntegerField(default=1)
    reason = models.TextField(blank=True, default="")
    first_at = models.DateTimeField()
    dead_at = models.DateTimeField(null=True, blank=True, db_index=True)

    class Meta:
        verbose_name = "dead letter"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor} {self.message_id}"
