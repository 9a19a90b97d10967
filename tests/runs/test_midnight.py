"""Daily limits and midnight UTC: who is woken, and that it may happen twice or late."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from bots import services
from bots.daily import reactivate
from tests.support.desk import SIGNAL
from trading.models import BotState

YESTERDAY, TODAY = date(2026, 3, 31), date(2026, 4, 1)
MIDNIGHT = datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC)


def put(bot, **values) -> None:
    BotState.objects.filter(bot=bot).update(**values)


def test_only_bots_that_a_daily_limit_of_an_earlier_day_paused_are_woken(desk):
    limited, by_hand, today, key = [
        desk.add_bot(name=name, symbol="BTCUSDT") if name == "a" else another(desk, name)
        for name in ("a", "b", "c", "d")
    ]
    counters = {"daily_pnl": Decimal(-5), "daily_trades_count": 3}
    put(limited, status="paused (daily loss)", trading_day=YESTERDAY, **counters)
    put(by_hand, status="paused", trading_day=YESTERDAY, **counters)
    put(today, status="paused (daily trades)", trading_day=TODAY, **counters)
    put(key, status="paused (key)", hold="key", trading_day=YESTERDAY, **counters)
    before = {row["bot_id"]: row for row in BotState.objects.values()}
    assert reactivate(MIDNIGHT) == 1
    assert reactivate(MIDNIGHT) == 0  # delivered twice
    assert reactivate(MIDNIGHT + timedelta(hours=5)) == 0  # and late
    after = {row["bot_id"]: row for row in BotState.objects.values()}
    woken = after.pop(limited.pk)
    assert (woken["status"], woken["daily_pnl"], woken["daily_trades_count"]) == ("waiting", 0, 0)
    del before[limited.pk]
    assert after == before


def another(desk, name):
    """A bot that was made but not started: a symbol has one active bot."""
    values = {"name": name, "symbol": "BTCUSDT", "initial_capital": "1000"}
    return services.bot_create(user=desk.owner, account=desk.account, values=values)


def test_max_daily_trades_pauses_entries_and_says_so(desk):
    bot = desk.add_bot(max_daily_trades=1)
    desk.go_to(SIGNAL + timedelta(seconds=2))
    desk.run(bot)
    services.bot_close(bot=bot, by=desk.owner)
    desk.run(bot, key="close")
    state = desk.state(bot)
    assert (state.daily_trades_count, state.trading_day) == (1, TODAY)
    desk.wait(60)
    result = desk.run(bot)
    assert desk.state(bot).status == "paused (daily trades)"
    assert result.reasons[0] == "not buying: 1 trades today, 1 allowed"
