"""An owner with a token, an account and a bot; each test begins without symbols of an earlier one."""

from __future__ import annotations

from typing import Any

import pytest

from bots.models import BotConfig
from marketdata import symbols
from tests.api.support import Api
from tests.support.owners import load_symbols, make_account, make_bot, make_owner
from trading.models import ExchangeAccount


@pytest.fixture(autouse=True)
def no_symbols() -> None:
    """Forget what an earlier test's process-wide copy of the symbols holds."""
    symbols.forget_parsed()


@pytest.fixture
def public_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host name leads to a public address; no name server is asked."""
    monkeypatch.setattr("tradebot.webhooks.resolve_name", lambda host, port: ["93.184.215.14"])


@pytest.fixture
def delivered(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One item for each time that a delivery was asked for; no message is sent."""
    calls: list[bool] = []
    monkeypatch.setattr("bots.api.notifications.deliver_soon", lambda: calls.append(True))
    return calls


@pytest.fixture
def owner(db: None) -> Any:
    """A user who is neither staff nor superuser."""
    return make_owner("olga")


@pytest.fixture
def api(owner: Any) -> Api:
    """The owner's client, with a token."""
    return Api(owner)


@pytest.fixture
def account(owner: Any) -> ExchangeAccount:
    """The owner's paper account; the symbols are loaded."""
    load_symbols()
    return make_account(owner, name="main")


@pytest.fixture
def bot(account: ExchangeAccount) -> BotConfig:
    """A paused bot of the owner."""
    return make_bot(account, name="first")


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The bots that were woken, with the ids of their inbox entries; no message is sent."""
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr("bots.api.bots.wake_bot", lambda bot_id, inbox_id: calls.append((bot_id, inbox_id)))
    return calls
