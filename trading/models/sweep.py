"""What reconciling with the exchange knows of each account, and the orders that the journal lacks."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from trading.models.accounts import ExchangeAccount
from trading.models.fields import Market, amount


def _nothing() -> dict[str, Any]:
    return {}


def _no_rows() -> list[Any]:
    return []


class AccountSweep(models.Model):
    """When an account was compared with the exchange, what was found, and when it is to be looked at again.

    `offsets` is, by asset, what the exchange has less what the journal's fills add up to: it only changes by
    what did not come from an order (deposits, withdrawals). `suspects` are differences that were seen once.
    """

    account = models.ForeignKey(ExchangeAccount, on_delete=models.CASCADE, related_name="sweeps")
    market = models.CharField(max_length=8, choices=Market.choices)
    asked_at = models.DateTimeField(null=True)  # the last try
    swept_at = models.DateTimeField(null=True)  # the last one that went through
    doubtful = models.BooleanField(default=True)
    doubt = models.CharField(max_length=200, blank=True, default="not compared yet")  # why it is doubtful
    look_at = models.DateTimeField(null=True)  # not before this time: a second look at a difference
    error = models.TextField(blank=True, default="")
    findings = models.JSONField(default=_no_rows)
    offsets = models.JSONField(default=_nothing)
    suspects = models.JSONField(default=_nothing)
    orders_asked_at = models.DateTimeField(null=True)  # when open orders were asked for
    taken_until = models.DateTimeField(null=True)  # one sweep of an account at a time

    class Meta:
        verbose_name = "reconciliation"
        ordering = ["account_id", "market"]
        constraints = [
            models.UniqueConstraint(fields=["account", "market"], name="sweep_once_per_account"),
        ]

    def __str__(self) -> str:
        return f"{self.market} of account {self.account_id}"


class TradeCursor(models.Model):
    """Up to which trade of a symbol the account was looked through."""

    account = models.ForeignKey(ExchangeAccount, on_delete=models.CASCADE, related_name="trade_cursors")
    market = models.CharField(max_length=8, choices=Market.choices)
    symbol = models.CharField(max_length=40)
    next_id = models.BigIntegerField(null=True)  # None: not looked through yet
    asked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "market", "symbol"], name="trade_cursor_once"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} of account {self.account_id}"


class Orphan(models.Model):
    """An order on the exchange that the journal does not have; open until somebody or something ends it.

    Quantities are in base units. `exchange_id` is the order's number, or the conditional order's.
    """

    class Kind(models.TextChoices):
        ORPHAN = "orphan", "ours, not in the journal"
        NONCE = "foreign-nonce", "of another deployment"
        FOREIGN = "foreign", "not TradeBot's"

    class Resolution(models.TextChoices):
        ADOPTED = "adopted", "adopted"
        CANCELLED = "cancelled", "cancelled"
        GONE = "gone", "ended by itself"

    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="orphans")
    market = models.CharField(max_length=8, choices=Market.choices)
    symbol = models.CharField(max_length=40)
    bot = models.ForeignKey(
        "bots.BotConfig", on_delete=models.PROTECT, null=True, blank=True, related_name="orphans"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    client_id = models.CharField(max_length=64)
    exchange_id = models.BigIntegerField()
    is_conditional = models.BooleanField("conditional", default=False)  # a futures algo order
    side = models.CharField(max_length=4)
    type = models.CharField(max_length=24)
    quantity = amount()
    executed = amount(default=0)
    status = models.CharField(max_length=20)
    body = models.JSONField(default=_nothing)
    found_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=10, choices=Resolution.choices, blank=True, default="")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "market", "symbol", "exchange_id", "is_conditional"], name="orphan_once"
            ),
            models.CheckConstraint(
                condition=Q(resolved_at__isnull=True, resolution="")
                | (Q(resolved_at__isnull=False) & ~Q(resolution="")),
                name="orphan_resolved_says_how",
            ),
        ]
        indexes = [
            models.Index(
                fields=["account", "market"], condition=Q(resolved_at__isnull=True), name="orphan_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client_id} ({self.get_kind_display()})"
