"""The outbox: what owners are to be told of, written in the transaction in which it happened."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


def message_id() -> str:
    """A new id of a message; a receiver knows by it what it has seen already."""
    return f"msg_{uuid.uuid4().hex}"


class OutboxMessage(models.Model):
    """One event of one owner. Whom it goes to is settled after the commit (bots.notifications.delivery)."""

    class Event(models.TextChoices):
        TRADE = "trade", "a trade"
        ERROR = "error", "an error"
        PAUSED = "paused", "a bot was paused: key, orders, doubt"
        LIMIT = "limit", "a limit was reached"
        DAILY_SUMMARY = "daily_summary", "the summary of a day"
        TEST = "test", "a test"

    message_id = models.CharField(max_length=40, unique=True, default=message_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="outbox")
    event = models.CharField(max_length=16, choices=Event.choices)
    bot = models.ForeignKey("bots.BotConfig", on_delete=models.CASCADE, null=True, related_name="+")
    payload = models.JSONField(default=dict)
    once = models.CharField(max_length=120, null=True, unique=True)  # noqa: DJ001 -- null: any number
    created_at = models.DateTimeField()
    routed_at = models.DateTimeField(null=True)  # when it was given to the channels that want it

    class Meta:
        verbose_name = "outbox message"
        ordering = ["-id"]
        indexes = [models.Index(fields=["id"], condition=Q(routed_at__isnull=True), name="outbox_to_route")]

    def __str__(self) -> str:
        return f"{self.event} {self.message_id}"
