"""E-mails: what they say, and mail servers that are down, refuse or drip (W3)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core import mail

from bots.models import Delivery
from bots.notifications import delivery, services
from tradebot import clock
from tradebot import mail as bounded
from trading import outbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def address(owner):
    return services.channel_create(
        user=owner, name="mail", kind="email", target="olga@example.com", events=list(services.EVENTS)
    ).channel


@pytest.fixture
def smtp(settings):
    """The backend as EMAIL_URL sets it; the port is the test's."""
    settings.EMAIL_BACKEND = "tradebot.mail.BoundedEmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    return settings


def deliver() -> int:
    delivery.route(clock.now())
    return sum(delivery.empty_channel(pk, clock.now) for pk in delivery.due_channels(clock.now()))


def test_a_trade_reads_well(owner, bot, address):
    outbox.notify(
        event="trade",
        user_id=owner.pk,
        bot_id=bot.pk,
        payload={
            "bot": "first\r\nBcc: x@y.example",
            "environment": "paper",
            "symbol": "BTCUSDT",
            "side": "BUY",
            "quantity": "0.01",
            "price": "60000",
            "reason": "",
        },
    )
    assert deliver() == 1
    (sent,) = mail.outbox
    assert (sent.to, sent.from_email) == (["olga@example.com"], "tradebot@localhost")
    assert sent.subject == "[TradeBot PAPER] BUY 0.01 BTCUSDT at 60000"
    assert "quantity: 0.01\n" in sent.body
    assert "reason" not in sent.body
    assert sent.extra_headers["Message-ID"].startswith("<msg_")
    assert list(sent.recipients()) == ["olga@example.com"]


@pytest.mark.parametrize(
    ("event", "payload", "subject"),
    [
        ("error", {"bot": "a\nb", "reason": "no\r\nway"}, "[TradeBot] a b: no way"),
        ("paused", {"bot": "first", "status": "paused (key)"}, "[TradeBot] first paused (key)"),
        ("limit", {"limit": "daily loss"}, "[TradeBot] limit reached: daily loss"),
        (
            "daily_summary",
            {"day": "2026-04-01", "realized_pnl": "-3"},
            "[TradeBot] summary of 2026-04-01: -3 USDT",
        ),
        ("error", {}, "[TradeBot] ?: ?"),
        ("error", {"bot": "{0}", "reason": "x" * 300}, "[TradeBot] {0}: " + "x" * 184),
    ],
)
def test_subjects_are_one_line(owner, address, event, payload, subject):
    outbox.notify(event=event, user_id=owner.pk, payload=payload)
    deliver()
    assert mail.outbox[0].subject == subject


def test_a_mail_server_that_is_down_leaves_the_message_in_the_outbox(owner, address, smtp):
    with socket.create_server(("127.0.0.1", 0)) as free:
        smtp.EMAIL_PORT = free.getsockname()[1]
    outbox.notify(event="error", user_id=owner.pk, payload={})
    outbox.notify(event="error", user_id=owner.pk, payload={})
    assert deliver() == 0
    address.refresh_from_db()
    assert address.last_result == "the mail server can't be used: Connection refused"
    assert sorted(Delivery.objects.values_list("state", "attempts")) == [("pending", 0), ("pending", 1)]
    smtp.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    later = clock.now() + delivery.TAKEN_FOR
    assert delivery.empty_channel(address.pk, lambda: later) == 2


@contextmanager
def mail_server(*answers: bytes, drip: bool = False) -> Iterator[int]:
    """A mail server that says these lines, one after each line that it reads; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                try:
                    while drip:
                        connection.sendall(b"2")
                        time.sleep(0.05)
                    for answer in answers:
                        connection.sendall(answer)
                        stream.readline()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_mail_server_that_drips_ends_at_the_total_limit(owner, address, smtp, monkeypatch):
    monkeypatch.setattr(bounded, "TOTAL_SECONDS", 0.5)
    outbox.notify(event="error", user_id=owner.pk, payload={})
    with mail_server(drip=True) as smtp.EMAIL_PORT:
        began = time.monotonic()
        assert deliver() == 0
        assert time.monotonic() - began < 2
    address.refresh_from_db()
    assert address.last_result.startswith("the mail server ")
    assert address.silences == 1


def test_a_refused_recipient_is_told(owner, address, smtp):
    outbox.notify(event="error", user_id=owner.pk, payload={})
    answers = [
        b"220 hi\r\n",
        b"250 hi\r\n",
        b"250 ok\r\n",
        b"550 no such user\r\n",
        b"250 ok\r\n",
        b"221 bye\r\n",
    ]
    with mail_server(*answers) as smtp.EMAIL_PORT:
        assert deliver() == 0
    address.refresh_from_db()
    assert (address.last_result, address.silences) == ("the mail server refuses the address", 0)


def test_no_thread_of_the_limit_is_left(owner, address, smtp):
    before = threading.active_count()
    with mail_server(b"554 go away\r\n") as smtp.EMAIL_PORT:
        outbox.notify(event="error", user_id=owner.pk, payload={})
        deliver()
    end = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.01)
    address.refresh_from_db()
    assert address.last_result == "the mail server answered 554"
