"""Real money: an account of the live exchange can't start a bot, whatever LIVE_TRADING says."""

from __future__ import annotations

import pytest

from marketdata import symbols
from tests.support.cluster import run_python
from tests.support.environment import child_environment
from tests.support.owners import load_symbols, make_account, make_bot, make_owner
from trading.models import BotState, SymbolClaim


@pytest.fixture
def live_bot(transactional_db):
    """A bot on a live account with a key of the right form."""
    symbols.forget_parsed()
    load_symbols("live")
    return make_bot(make_account(make_owner("rich"), environment="live"))


@pytest.mark.parametrize("live_trading", ["0", "1"])
def test_a_live_account_cannot_start_a_bot(live_bot, live_trading):
    env = child_environment(LIVE_TRADING=live_trading)
    done = run_python("manage.py", "bots", "start", str(live_bot.pk), "--json", env=env)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "live" in (done.stderr + done.stdout).lower()
    live_bot.refresh_from_db()
    assert live_bot.is_active is False
    assert BotState.objects.get(bot=live_bot).status == "paused"
    assert not SymbolClaim.objects.exists()
