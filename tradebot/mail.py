"""E-mail by SMTP within a total time; a dripping server ends, too."""

from __future__ import annotations

import smtplib
import socket
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

from tradebot.deadline import Deadline

SILENCE_SECONDS, TOTAL_SECONDS = 10.0, 30.0


class _BoundedSmtp(smtplib.SMTP):
    """A connection whose whole life has a limit."""

    deadline: Deadline | None = None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        raw: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self.deadline = Deadline(raw, TOTAL_SECONDS)
        return raw

    def close(self) -> None:
        """Close, and end the watch."""
        super().close()
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None


class _BoundedSmtpTls(smtplib.SMTP_SSL, _BoundedSmtp):
    """The same with TLS from the first byte."""


class BoundedEmailBackend(EmailBackend):
    """Django's SMTP backend with limits: 10 s for each silence, 30 s in all."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "timeout": SILENCE_SECONDS})

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        """SMTP, or SMTP over TLS."""
        return _BoundedSmtpTls if self.use_ssl else _BoundedSmtp
