"""Desks on the futures market: one whose market gives a buy signal, and the mirror for shorts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.desk import Desk, open_desk
from tradebot.binance import transport


@pytest.fixture
def open_futures(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Callable[..., Desk]]:
    """Opens desks on futures: `open_futures(falls=True)` for a market that signals a short."""
    made: list[Desk] = []

    def make(**options: Any) -> Desk:
        made.append(open_desk(tmp_path, settings, django_user_model, market="futures", **options))
        return made[-1]

    yield make
    for desk in made:
        desk.feed.close()
        desk.paper.stop()


@pytest.fixture
def desk(open_futures) -> Desk:
    """A futures desk a moment before the signal to buy."""
    return open_futures()


@dataclass(frozen=True)
class Sent:
    """One request that left."""

    method: str
    path: str
    text: str  # query and body


@pytest.fixture
def sent(monkeypatch) -> list[Sent]:
    """Every request to the exchange from now on, in order."""
    requests: list[Sent] = []
    really = transport.send

    def send(method: str, url: str, **options: Any) -> Any:
        text = options.get("query", "") + (options.get("body") or b"").decode()
        requests.append(Sent(method, urlsplit(url).path, text))
        return really(method, url, **options)

    monkeypatch.setattr(transport, "send", send)
    return requests
