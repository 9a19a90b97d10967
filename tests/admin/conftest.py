"""An owner with a browser, an account and a bot; each test begins without symbols of an earlier one."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from bots.models import BotConfig
from marketdata import symbols
from tests.support.owners import load_symbols, make_account, make_bot, make_owner
from trading.models import ExchangeAccount


@pytest.fixture(autouse=True)
def no_symbols() -> None:
    """Forget what an earlier test's process-wide copy of the symbols holds."""
    symbols.forget_parsed()


@pytest.fixture
def owner(db: None) -> Any:
    """A staff user who is no superuser."""
    return make_owner("olga", staff=True)


@pytest.fixture
def browser(owner: Any) -> Client:
    """The owner's browser, logged in."""
    client = Client()
    client.force_login(owner)
    return client


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
    monkeypatch.setattr("bots.admin.bots.wake_bot", lambda bot_id, inbox_id: calls.append((bot_id, inbox_id)))
    return calls
