"""One message to one channel, by webhook or by e-mail. Whatever a receiver does becomes an Outcome."""

from __future__ import annotations

import json
import smtplib
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage

from bots.notifications import services, texts
from bots.notifications.models import NotificationChannel
from tradebot import webhooks
from tradebot.errors import KeyDecryptFailed
from tradebot.webhooks import Outcome
from trading.models import OutboxMessage


def send(channel: NotificationChannel, message: OutboxMessage, now: datetime) -> Outcome:
    """Send it now, within hard limits of time; never raises for what the receiver does."""
    if channel.kind == NotificationChannel.Kind.EMAIL:
        return _email(channel, message)
    try:
        secrets = services.read_secrets(channel)
    except KeyDecryptFailed as error:
        return Outcome(False, str(error), silent=True)
    text = body(message)
    return webhooks.send(channel.target, text, webhooks.headers(message.message_id, text, secrets, now))


def body(message: OutboxMessage) -> str:
    """The webhook's JSON: type, time of the event, data. The same bytes at each try."""
    content: dict[str, Any] = {
        "type": message.event,
        "timestamp": message.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": message.payload,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _email(channel: NotificationChannel, message: OutboxMessage) -> Outcome:
    mail = EmailMessage(
        subject=texts.subject(message),
        body=texts.body(message),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[channel.target],
        headers={"Message-ID": f"<{message.message_id}.{channel.pk}@tradebot>"},
    )
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused:
        return Outcome(False, "the mail server refuses the address")
    except smtplib.SMTPResponseException as error:
        return Outcome(False, f"the mail server answered {error.smtp_code}", silent=True)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return Outcome(False, f"the mail server can't be used: {reason}", silent=True)
    return Outcome(True, "sent")
