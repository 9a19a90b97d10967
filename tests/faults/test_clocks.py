"""Workers whose clocks are off: refused, measured anew, and at most one slot lost for each worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from tests.support import owners
from tradebot.binance import server_clock
from tradebot.binance.sources import source_for
from trading.books import count_day
from trading.models import BotState, Order, OrderRequest, Trade


@pytest.mark.parametrize("shift", [2.0, -6.0])
@pytest.mark.parametrize("phase", ["entry", "exit"])
def test_clocks_that_are_off_cost_a_slot_at_most_and_no_order(try_out, phase, shift):
    """The workers start with another clock while the shared measurement of the old one is in Redis."""
    trial = try_out(phase=phase, shift=shift, bots=2)
    refused = OrderRequest.objects.filter(account=trial.account, state="REJECTED")
    assert {row.code for row in refused} <= {-1021}
    filled = Order.objects.filter(account=trial.account, status="FILLED")
    assert sorted(filled.values_list("purpose", flat=True)) == ["ENTRY"] * 2 + ["EXIT"] * 2


def test_a_clock_that_drifts_by_50_ms_a_minute_is_measured_often_enough_for_a_day(monkeypatch):
    minute, asked = 0, 0

    def local_ms() -> int:
        return 1_770_000_000_000 + minute * 60_000

    def ask() -> int:
        nonlocal asked
        asked += 1
        return local_ms() + 50 * minute

    server_clock.forget_process_state()
    monkeypatch.setattr(server_clock, "local_ms", local_ms)
    monkeypatch.setattr(server_clock, "time", SimpleNamespace(monotonic=lambda: minute * 60.0))
    worst = 0
    for minute in range(24 * 60):
        offset = server_clock.offset_ms(source_for("paper", "spot"), 600.0, ask)
        worst = max(worst, abs(50 * minute - offset))
    server_clock.forget_process_state()
    assert worst <= 550  # recvWindow is 5000
    assert asked <= 24 * 6


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/New_York"])
@pytest.mark.parametrize("last_day", ["2028-02-28", "2028-02-29", "2026-12-31", "2026-03-28", "2026-10-31"])
def test_a_day_ends_at_midnight_utc_whatever_the_zone_and_the_calendar(transactional_db, zone, last_day):
    """Decided before midnight, filled after it: the fill counts for the new day, once."""
    owners.load_symbols()
    bot = owners.make_bot(owners.make_account(owners.make_owner("owner")))
    midnight = datetime.fromisoformat(f"{last_day}T00:00:00+00:00") + timedelta(days=1)
    for number, (at, pnl) in enumerate([(midnight - timedelta(milliseconds=1), 3), (midnight, -2)]):
        Trade.objects.create(
            bot_config=bot,
            user=bot.user,
            symbol=bot.symbol,
            side="SELL",
            purpose="EXTERNAL",
            price=1,
            quantity_filled=1,
            realized_pnl=pnl,
            binance_order_id=number,
            created_at=at,
        )
    state = BotState.objects.get(bot=bot)
    for now, pnl in [(midnight - timedelta(seconds=1), 3), (midnight, -2), (midnight + timedelta(1), 0)]:
        state.daily_limit = "loss"
        count_day(state, now.astimezone(ZoneInfo(zone)))
        assert (state.daily_pnl, state.trading_day) == (Decimal(pnl), now.astimezone(UTC).date())
        assert state.daily_limit == ""  # reset with the day, once
        state.daily_limit = "loss"
        count_day(state, now.astimezone(ZoneInfo(zone)))
        assert state.daily_limit == "loss"
