"""Where an owner's notifications go, and what became of each."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from fernet_fields import EncryptedTextField

from trading.models import OutboxMessage


class NotificationChannel(models.Model):
    """A webhook or an e-mail address of one owner, with the events and the bot that it is told of."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "Webhook"
        EMAIL = "email", "E-mail"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="channels")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    target = models.CharField(max_length=2000, help_text="A webhook's address (https), or an e-mail address.")
    events = models.JSONField(default=list)
    bot = models.ForeignKey(
        "bots.BotConfig",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="channels",
        help_text="Empty: all bots.",
    )
    is_active = models.BooleanField("active", default=True)
    last_result = models.CharField(max_length=300, blank=True, default="", editable=False)
    last_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    # How deliveries take turns (bots.notifications.delivery): one worker a channel, and a wait after silence.
    taken_until = models.DateTimeField(null=True, editable=False)
    waits_until = models.DateTimeField(null=True, editable=False)
    silences = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        app_label = "bots"
        verbose_name = "notification channel"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="channel_name_once_per_user"),
            models.CheckConstraint(condition=Q(kind__in=["webhook", "email"]), name="channel_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name


class ChannelSecret(models.Model):
    """What a webhook's messages are signed with, encrypted; apart, so that a list never decrypts."""

    channel = models.OneToOneField(NotificationChannel, on_delete=models.CASCADE, related_name="secret")
    current = EncryptedTextField()
    previous = EncryptedTextField(blank=True, default="")
    previous_until = models.DateTimeField(null=True)  # until then messages are signed with both
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "bots"
        verbose_name = "signing secret"

    def __str__(self) -> str:
        return f"secret of channel {self.channel_id}"


class Delivery(models.Model):
    """One message on its way to one channel."""

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        DEAD = "dead", "given up"

    message = models.ForeignKey(OutboxMessage, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(NotificationChannel, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField()

    class Meta:
        app_label = "bots"
        verbose_name_plural = "deliveries"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["message", "channel"], name="delivery_once"),
        ]
        indexes = [
            models.Index(
                fields=["channel", "next_try_at"], condition=Q(state="pending"), name="delivery_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} to channel {self.channel_id}"
