"""BotState: the row that a run locks."""

from __future__ import annotations

from django.db import models

from trading.models.fields import amount


class BotState(models.Model):
    """What a bot has and where it stands. Locked by each run; no table has a foreign key to it.

    Counters that belong to another UTC day than today read as zero. Quantities are in base units,
    money in quote units.
    """

    bot = models.OneToOneField("bots.BotConfig", on_delete=models.CASCADE, related_name="state")
    status = models.CharField(max_length=80, default="waiting", db_index=True)
    status_reason = models.TextField(blank=True, default="")
    last_run_at = models.DateTimeField(null=True, blank=True)
    last_error_message = models.TextField(blank=True, default="")
    hold = models.CharField(max_length=10, blank=True, default="")  # key, drift, doubt, orders, symbol, crash

    in_position = models.BooleanField(default=False)
    entry_price = amount(null=True, blank=True)
    current_position_size_coins = amount(default=0)
    entry_time = models.DateTimeField(null=True, blank=True)
    entry_signal_time = models.DateTimeField(null=True, blank=True)
    protection = models.JSONField(null=True, blank=True)  # stop and target the position opened with
    trailing_stop_price = amount(null=True, blank=True)
    exit_wanted = models.CharField(max_length=200, blank=True, default="")
    exit_wanted_since = models.DateTimeField(null=True, blank=True)

    stop_passed_at = models.DateTimeField(null=True, blank=True)  # price seen beyond a resting order since
    naked_since = models.DateTimeField(null=True, blank=True)  # in position, wanted stop not on the exchange
    naked_longest_seconds = models.FloatField(default=0)

    last_signal_time = models.DateTimeField(null=True, blank=True)  # last signal that was used
    last_exit_at = models.DateTimeField(null=True, blank=True)
    trading_day = models.DateField(null=True, blank=True)
    daily_pnl = amount(default=0)
    daily_trades_count = models.PositiveIntegerField(default=0)
    daily_limit = models.CharField(max_length=6, blank=True, default="")  # loss, target: reached today
    realized_total = amount(default=0)
    rejections_in_a_row = models.PositiveIntegerField(default=0)

    epoch = models.BigIntegerField(default=0)  # grows with each request; fences stale writers
    seq = models.BigIntegerField(default=0)  # numbers the bot's client ids; never runs back

    class Meta:
        verbose_name = "bot state"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(in_position=True, entry_price__isnull=False)
                | models.Q(in_position=False, entry_price__isnull=True),
                name="state_in_position_has_entry_price",
            ),
            models.CheckConstraint(
                condition=models.Q(current_position_size_coins__gte=0) | models.Q(in_position=True),
                name="state_flat_is_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"state of bot {self.bot_id}"
