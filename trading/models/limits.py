"""Limits that hold across the bots of an account, or of an owner."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from trading.models.accounts import ExchangeAccount
from trading.models.fields import amount


def _limit(help_text: str) -> models.DecimalField[Any, Any]:
    return amount(
        null=True, blank=True, validators=[MinValueValidator(Decimal("0.00000001"))], help_text=help_text
    )


class RiskLimits(models.Model):
    """Limits of one account, or of one owner where `account` is null. An empty limit does not limit."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="limits")
    account = models.OneToOneField(
        ExchangeAccount, on_delete=models.CASCADE, null=True, blank=True, related_name="limits"
    )
    max_daily_loss = _limit("USDT: realised in the UTC day plus what open positions have lost.")
    max_exposure_per_coin = _limit("USDT: worth of all positions in one coin, long and short added up.")
    max_exposure = _limit("USDT: worth of all positions, long and short added up.")
    max_open_positions = models.PositiveIntegerField(null=True, blank=True)
    max_orders_per_minute = models.PositiveIntegerField(null=True, blank=True)
    loss_reached_on = models.DateField(null=True, editable=False)  # entries stop until that UTC day is over
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "limits"
        verbose_name_plural = "limits"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(account__isnull=True), name="limits_once_per_owner"
            ),
            *[
                models.CheckConstraint(
                    condition=Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__gt": 0}),
                    name=f"limits_{name}_above_0",
                )
                for name in (
                    "max_daily_loss",
                    "max_exposure_per_coin",
                    "max_exposure",
                    "max_open_positions",
                    "max_orders_per_minute",
                )
            ],
        ]

    def __str__(self) -> str:
        return f"limits of account {self.account.name}" if self.account else f"limits of {self.user}"
