"""A change through the API is what the next look trades by: against a real paper exchange."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from bots.models import BotConfig, BotInbox
from tests.api.support import Api
from tests.support.desk import SIGNAL, Desk, open_desk
from trading.models import Order, Trade


@pytest.fixture
def desk(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Desk]:
    """A desk a moment before the signal of BTCUSDT."""
    made = open_desk(tmp_path, settings, django_user_model)
    yield made
    made.feed.close()
    made.paper.stop()


def test_a_bot_made_and_changed_by_the_api_trades_by_what_was_set_last(desk: Desk) -> None:
    api = Api(desk.owner)
    body = {"name": "mine", "account": desk.account.pk, "symbol": "BTCUSDT", "initial_capital": "1000"}
    made = api.post("bots/", body).json()
    entry = api.post(f"bots/{made['id']}/start/").json()
    desk.go_to(SIGNAL - timedelta(seconds=20))
    bot = BotConfig.objects.get(pk=made["id"])
    assert desk.run(bot).outcome == "held"
    answered = api.get(f"runs/{entry['id']}/")
    assert answered["handled_at"] is not None
    assert answered["result"].startswith("not buying")

    assert (
        api.patch(f"bots/{bot.pk}/", {"initial_capital": "200", "take_profit_perc": "1"}).status_code == 200
    )
    desk.go_to(SIGNAL + timedelta(seconds=2))
    assert api.get(f"bots/{bot.pk}/state/")["outlook"]["acts"] is True
    assert desk.run(bot, key="signal").outcome == "traded"
    cost = Order.objects.get(purpose="ENTRY").executed_quote
    assert 190 < cost < 201
    state = api.get(f"bots/{bot.pk}/state/")
    assert (state["status"], state["in_position"], state["daily_trades_count"]) == ("in position", True, 1)
    assert state["protection"]["take_profit_perc"] == 1
    trade = api.get(f"bots/{bot.pk}/trades/")["results"][0]
    assert (trade["side"], trade["purpose"]) == ("BUY", "ENTRY")
    assert api.get(f"bots/{bot.pk}/runs/")["results"][0]["outcome"] == "traded"
    summary = api.get("summary/")
    assert len(summary["open_positions"]) == 1
    assert 9990 < float(summary["equity"]) < 10_001

    asked = api.post(f"bots/{bot.pk}/stop/").json()
    assert desk.run(bot, key="stop").outcome == "traded"
    assert "stopped by hand" in api.get(f"runs/{asked['id']}/")["result"]
    sale = Trade.objects.get(purpose="EXIT")
    pnl = api.get("summary/")["pnl_today"]
    assert float(pnl) == pytest.approx(float(sale.realized_pnl))
    assert desk.differences() == []
    assert BotInbox.objects.filter(handled_at=None).count() == 0
