"""What a deployment remembers of itself: its nonces, and the checks of the books."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Deployment(models.Model):
    """A nonce of client ids; the newest row is in force. Each restored backup gets one of its own."""

    nonce = models.CharField(max_length=6, unique=True)
    started_at = models.DateTimeField()
    reason = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(nonce__regex=r"^[A-Za-z0-9]{6}$"), name="deployment_nonce_of_six_letters"
            ),
        ]

    def __str__(self) -> str:
        return self.nonce


class BooksCheck(models.Model):
    """One check of the books: of the whole database, or of one account against its exchange.

    `scope` is "database" or "exchange:<account>:<market>"; `findings` are rows of trading.findings.
    """

    scope = models.CharField(max_length=60)
    at = models.DateTimeField()
    seconds = models.FloatField(default=0.0)
    findings = models.JSONField(default=list)
    error = models.TextField(blank=True, default="")  # why the exchange could not be asked

    class Meta:
        verbose_name = "check of the books"
        verbose_name_plural = "checks of the books"
        ordering = ["-id"]
        indexes = [models.Index(fields=["scope", "-id"], name="books_check_newest")]

    def __str__(self) -> str:
        return f"{self.scope} {self.at:%Y-%m-%d %H:%M}"
