"""An account and a bot; each test begins without symbols of an earlier one."""

from __future__ import annotations

import pytest

from bots.models import BotConfig
from marketdata import symbols
from tests.support.owners import load_symbols, make_account, make_bot, make_owner
from trading.models import ExchangeAccount


@pytest.fixture(autouse=True)
def no_symbols() -> None:
    """Forget what an earlier test's process-wide copy of the symbols holds."""
    symbols.forget_parsed()


@pytest.fixture
def account(db: None) -> ExchangeAccount:
    load_symbols()
    return make_account(make_owner(), name="main")


@pytest.fixture
def bot(account: ExchangeAccount) -> BotConfig:
    return make_bot(account, name="first")
