"""An owner, and a receiver of webhooks on this machine that answers by script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bots.models import BotConfig, NotificationChannel
from bots.notifications import services
from marketdata import symbols
from tests.support.fake_exchange import FakeExchange, fake_exchange, reply
from tests.support.owners import load_symbols, make_account, make_bot, make_owner

HOOK = "/hook"
SECRET = "whsec_" + "dGVzdC1zZWNyZXQtb2YtdGhlLXRlc3RzLTEyMzQ="
OTHER_SECRET = "whsec_" + "YW5vdGhlci1zZWNyZXQtb2YtdGhlLXRlc3RzLTk="


@pytest.fixture
def receiver(settings: Any) -> Iterator[FakeExchange]:
    """A receiver that may be reached; it answers 200 on /hook."""
    with fake_exchange() as server:
        server.on(HOOK, reply(200))
        settings.WEBHOOK_ALLOWED_HOSTS = (server.url.removeprefix("http://"),)
        yield server


@pytest.fixture
def owner(db: None) -> Any:
    """A staff user."""
    return make_owner("olga", staff=True)


@pytest.fixture
def bot(owner: Any) -> BotConfig:
    """A paused bot of the owner."""
    symbols.forget_parsed()
    load_symbols()
    return make_bot(make_account(owner, name="main"), name="first")


@pytest.fixture
def channel(owner: Any, receiver: FakeExchange) -> NotificationChannel:
    """A webhook of the owner to the receiver, for every event."""
    return make_channel(owner, receiver.url + HOOK)


def make_channel(owner: Any, target: str, **values: Any) -> NotificationChannel:
    """A webhook with the tests' secret, unless told otherwise."""
    values = {
        "name": f"channel {NotificationChannel.objects.count()}",
        "kind": "webhook",
        "events": list(services.EVENTS),
        "secret": SECRET if values.get("kind", "webhook") == "webhook" else "",
    } | values
    return services.channel_create(user=owner, target=target, **values).channel
