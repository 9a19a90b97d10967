"""The exchange changes a symbol: its filters, its status, or it is gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bots import services
from marketdata import symbols
from tests.support.desk import SIGNAL, Desk, open_desk
from tradebot import clock
from tradebot.binance.sources import source_for
from tradebot.redis import redis_client
from trading.models import BotState, Order, OrderRequest

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


@pytest.fixture
def futures_desk(tmp_path, settings, django_user_model, transactional_db):
    made = open_desk(tmp_path, settings, django_user_model, market="futures")
    yield made
    made.feed.close()
    made.paper.stop()


def change(desk: Desk, kind: str, **options) -> int:
    """Switch a condition on; gives its id."""
    found = desk.paper.control("/paper/faults", {"kind": kind, **options})
    return found["id"] if "id" in found else found["fault"]["id"]


def signal_again() -> None:
    """The next slot's signal stands for the one that a refusal used up."""
    Order.objects.update(signal_used=False)
    BotState.objects.update(last_signal_time=None)


def states() -> list[str]:
    return list(OrderRequest.objects.order_by("id").values_list("state", flat=True))


def test_after_an_entry_refused_by_a_new_filter_the_next_slot_knows_it(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    change(desk, "filters", symbol="BTCUSDT", filters={"LOT_SIZE": {"stepSize": "0.1"}})
    desk.run(bot)
    assert states() == ["REJECTED"]
    assert OrderRequest.objects.get().code == -1013
    signal_again()
    assert desk.run(bot, key="next slot").outcome == "traded"
    assert states()[:2] == ["REJECTED", "ACCEPTED"]
    assert desk.differences() == []


def test_an_exit_refused_by_a_new_filter_leaves_at_the_next_look(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    change(desk, "filters", symbol="BTCUSDT", filters={"LOT_SIZE": {"stepSize": "0.1"}})
    services.bot_close(bot=bot, by=desk.owner)
    desk.wait(5)
    desk.run(bot, key="refused")
    desk.wait(5)
    desk.run(bot, key="next slot")
    print(list(OrderRequest.objects.order_by("id").values_list("state", "code", "reason")), desk.state(bot).status, desk.state(bot).status_reason)
    assert states().count("REJECTED") == 1
    assert desk.differences() == []
    assert not desk.state(bot).in_position


def test_futures_too(futures_desk):
    desk = futures_desk
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    change(desk, "filters", symbol="BTCUSDT", filters={"LOT_SIZE": {"stepSize": "0.1"}, "MARKET_LOT_SIZE": {"stepSize": "0.1"}})
    desk.run(bot)
    print(list(OrderRequest.objects.order_by("id").values_list("state", "code", "reason")), desk.state(bot).status)
    assert states() == ["REJECTED"]
    signal_again()
    assert desk.run(bot, key="next slot").outcome == "traded"


def test_many_refusals_ask_for_one_refresh_a_minute(desk):
    source = source_for("paper", "spot")
    assert symbols.refresh_after_refusal(source) is True
    assert symbols.refresh_after_refusal(source) is False
    redis_client().delete(f"{symbols.key_of(source)}:refused")
    assert symbols.refresh_after_refusal(source) is True


def show(desk, bot, what):
    s = desk.state(bot)
    print(what, s.status, "|", s.status_reason, "|", s.hold, "|", s.in_position, states(), list(OrderRequest.objects.order_by("id").values_list("code", "reason")))


@pytest.mark.parametrize("kind", ["halt", "maintenance", "delisted"])
def test_flat(desk, kind):
    bot = desk.add_bot()
    fault = change(desk, kind, **({} if kind == "maintenance" else {"symbol": "BTCUSDT"}))
    desk.go_to(AT_SIGNAL)
    desk.run(bot); show(desk, bot, kind)
    desk.wait(3)
    desk.run(bot, key="2"); show(desk, bot, kind)
    desk.paper.control(f"/paper/faults?id={fault}", method="DELETE")
    symbols.refresh(source_for("paper", "spot"))
    signal_again()
    desk.run(bot, key="3"); show(desk, bot, kind)
    assert 0


@pytest.mark.parametrize("kind", ["halt", "maintenance", "delisted"])
def test_in_position(desk, kind):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot); show(desk, bot, kind)
    fault = change(desk, kind, **({} if kind == "maintenance" else {"symbol": "BTCUSDT"}))
    for i in range(5):
        desk.wait(30)
        desk.run(bot, key=f"i{i}"); show(desk, bot, kind)
    symbols.refresh(source_for("paper", "spot"))
    desk.run(bot, key="2"); show(desk, bot, kind)
    services.bot_close(bot=bot, by=desk.owner)
    for i in range(5):
        desk.wait(3)
        desk.run(bot, key=f"c{i}"); show(desk, bot, kind)
    desk.paper.control(f"/paper/faults?id={fault}", method="DELETE")
    symbols.refresh(source_for("paper", "spot"))
    for i in range(3):
        desk.wait(60)
        desk.run(bot, key=f"d{i}"); show(desk, bot, kind)
    assert 0
