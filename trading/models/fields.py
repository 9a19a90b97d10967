"""Column types that several tables share."""

from __future__ import annotations

from typing import Any

from django.db import models


class Market(models.TextChoices):
    """Where a symbol trades."""

    SPOT = "spot", "Spot"
    FUTURES = "futures", "USDT futures"


def amount(**options: Any) -> models.DecimalField[Any, Any]:
    """A price, quantity or sum of money: NUMERIC(36, 18), wide enough for every symbol of Binance."""
    return models.DecimalField(max_digits=36, decimal_places=18, **options)
