"""What is kept in the database: holes in the candles that the exchange itself has, and its long pauses."""

from __future__ import annotations

from django.db import models

from marketdata.series import Series


class CandleHoleQuerySet(models.QuerySet["CandleHole"]):
    """Queries of candle holes."""

    def of(self, series: Series) -> CandleHoleQuerySet:
        """The holes of one series."""
        return self.filter(
            source=series.source.name,
            market=series.source.market,
            symbol=series.symbol,
            interval=series.interval,
        )


class CandleHole(models.Model):
    """Candles that the exchange does not have, from `start` (first missing open) to `end` (next open).

    Indicators start anew behind it, and entries wait for the warm-up.
    """

    source = models.CharField(max_length=200)
    market = models.CharField(max_length=10)
    symbol = models.CharField(max_length=40)
    interval = models.CharField(max_length=3)
    start = models.DateTimeField()
    end = models.DateTimeField()
    found_at = models.DateTimeField(auto_now_add=True)

    objects = CandleHoleQuerySet.as_manager()

    class Meta:
        ordering = ["-start", "symbol"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "market", "symbol", "interval", "start", "end"],
                name="candle_hole_once",
            ),
            models.CheckConstraint(
                condition=models.Q(end__gt=models.F("start")), name="candle_hole_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval}: {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"


class ExchangeGate(models.Model):
    """Until when the exchange asked for a pause (429, 418): nothing is sent through this gate before.

    The name says host, market and EGRESS_ID, or for a limit of orders the account. Redis has it too.
    """

    name = models.CharField(max_length=300, unique=True)
    until = models.DateTimeField()
    closed_at = models.DateTimeField()

    class Meta:
        verbose_name = "pause that the exchange asked for"
        verbose_name_plural = "pauses that the exchange asked for"
        ordering = ["-until"]

    def __str__(self) -> str:
        return f"{self.name} until {self.until:%Y-%m-%d %H:%M:%S} UTC"
