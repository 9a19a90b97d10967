"""The exchange changes a symbol: its filters, its status, or it is gone; or all symbols at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bots import services
from bots.models import BotConfig
from bots.screen import look
from marketdata import symbols
from tests.support.desk import SIGNAL, Desk, open_desk
from tradebot import clock
from tradebot.binance.sources import source_for
from tradebot.redis import redis_client
from trading.models import BotState, Order, OrderRequest, OutboxMessage

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
LOT = {"stepSize": "0.1", "minQty": "0.1"}
COARSE = {"LOT_SIZE": LOT, "MARKET_LOT_SIZE": LOT}


@pytest.fixture(params=["spot", "futures"])
def pair(request, tmp_path, settings, django_user_model, transactional_db) -> Iterator[Desk]:
    """A desk with two symbols, of either market."""
    made = open_desk(tmp_path, settings, django_user_model, ("BTCUSDT", "ETHUSDT"), market=request.param)
    yield made
    made.feed.close()
    made.paper.stop()


def change(desk: Desk, kind: str, **options: Any) -> Any:
    """Switch a condition on."""
    return desk.paper.control("/paper/faults", {"kind": kind, **options})


def end_all(desk: Desk) -> None:
    """Switch all conditions off; the symbols are read again when their time comes."""
    desk.paper.control("/paper/faults", method="DELETE")
    desk.wait(1)
    assert symbols.refresh(source_for("paper", desk.market)).ok


def a_minute_later(desk: Desk) -> None:
    """The refusals of this minute do not keep those of the next from reading the symbols anew."""
    desk.wait(60)
    redis_client().delete(f"{symbols.key_of(source_for('paper', desk.market))}:refused")


def signal_again() -> None:
    """Another signal stands there: the one of the minute is taken for unused."""
    Order.objects.update(signal_used=False)
    BotState.objects.update(last_signal_time=None)


def run(desk: Desk, bot: BotConfig) -> str:
    """A run of this moment; the bot's status after it."""
    desk.run(bot, key=f"{bot.pk} at {clock.now().isoformat()} {OrderRequest.objects.count()}")
    return desk.state(bot).status


def states(bot: BotConfig) -> list[str]:
    return list(OrderRequest.objects.filter(bot=bot).order_by("id").values_list("state", flat=True))


def test_after_an_entry_refused_by_a_new_filter_the_next_slot_knows_it(pair):
    bot = pair.add_bot()
    pair.go_to(AT_SIGNAL)
    change(pair, "filters", symbol="BTCUSDT", filters=COARSE)
    run(pair, bot)
    assert states(bot) == ["REJECTED"]
    signal_again()
    assert run(pair, bot) == "in position"
    assert states(bot)[:2] == ["REJECTED", "ACCEPTED"]
    assert pair.differences() == []


def test_an_exit_refused_by_a_new_filter_leaves_at_the_next_look(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    run(desk, bot)
    change(desk, "filters", symbol="BTCUSDT", filters=COARSE)
    services.bot_close(bot=bot, by=desk.owner)
    run(desk, bot)
    assert desk.state(bot).in_position
    run(desk, bot)
    assert states(bot) == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    assert not desk.state(bot).in_position
    assert desk.differences() == []


def test_many_refusals_ask_for_one_refresh_a_minute(desk):
    source = source_for("paper", "spot")
    assert symbols.refresh_after_refusal(source) is True
    assert symbols.refresh_after_refusal(source) is False
    assert 0 < redis_client().ttl(f"{symbols.key_of(source)}:refused") <= 60


@pytest.mark.parametrize("kind", ["halt", "delisted"])
def test_a_flat_bot_waits_for_its_symbol_and_goes_on_alone_while_others_trade(pair, kind):
    bot, other = pair.add_bot("BTCUSDT"), pair.add_bot("ETHUSDT")
    pair.go_to(AT_SIGNAL)
    change(pair, kind, symbol="BTCUSDT")
    run(pair, bot)  # it is not known yet: one refusal, after which it is
    refused = states(bot)
    if (pair.market, kind) == ("futures", "delisted"):  # the leverage was refused, not an order
        assert refused == []
        assert symbols.refresh(source_for("paper", "futures")).ok
    else:
        assert refused == ["REJECTED"]
    signal_again()
    assert run(pair, bot) == "paused (symbol)"
    assert run(pair, other) == "in position"
    assert states(bot) == refused
    assert desk_holds(pair) == ["", ""]
    end_all(pair)
    assert run(pair, bot) == "in position"


def test_in_maintenance_every_bot_waits_for_the_exchange_and_goes_on_alone(pair):
    bots = [pair.add_bot("BTCUSDT"), pair.add_bot("ETHUSDT")]
    pair.go_to(AT_SIGNAL)
    change(pair, "maintenance")
    run(pair, bots[0])
    signal_again()
    assert [run(pair, bot) for bot in bots] == ["paused (exchange)"] * 2
    assert [states(bot) for bot in bots] == [["REJECTED"], []]
    assert desk_holds(pair) == ["", ""]
    end_all(pair)
    assert [run(pair, bot) for bot in bots] == ["in position"] * 2


@pytest.mark.parametrize("kind", ["halt", "maintenance"])
def test_an_exit_is_tried_through_a_halt_without_a_hold_and_ends_when_the_symbol_trades(pair, kind):
    bot = pair.add_bot("BTCUSDT")
    pair.go_to(AT_SIGNAL)
    assert run(pair, bot) == "in position"
    change(pair, kind, **({"symbol": "BTCUSDT"} if kind == "halt" else {}))
    services.bot_close(bot=bot, by=pair.owner)
    for _ in range(4):
        run(pair, bot)
        a_minute_later(pair)
    assert pair.state(bot).in_position
    assert desk_holds(pair) == [""]
    end_all(pair)
    run(pair, bot)
    assert not pair.state(bot).in_position
    assert pair.differences() == []


def test_a_position_in_a_delisted_symbol_is_held_and_its_owner_told(desk_of_two):
    desk = desk_of_two
    bot, other = desk.add_bot("BTCUSDT"), desk.add_bot("ETHUSDT")
    desk.go_to(AT_SIGNAL)
    assert [run(desk, one) for one in (bot, other)] == ["in position"] * 2
    change(desk, "delisted", symbol="BTCUSDT")
    assert symbols.refresh(source_for("paper", "spot")).ok
    OutboxMessage.objects.all().delete()
    for _ in range(2):
        a_minute_later(desk)
        assert run(desk, bot) == "paused (symbol)"
    a_minute_later(desk)  # the feed has no price of it by now: it is run each minute, and looks no other way
    assert [call.bot_id for call in look([bot.pk], clock.now()).calls] == [bot.pk]
    assert (desk.state(bot).hold, desk.state(other).hold) == ("symbol", "")
    assert desk.state(bot).status_reason.startswith("BTCUSDT is not listed by the exchange any more")
    message = OutboxMessage.objects.get()
    assert (message.event, message.user, message.payload["status"]) == (
        "paused",
        desk.owner,
        "paused (symbol)",
    )
    services.bot_close(bot=other, by=desk.owner)
    run(desk, other)
    assert not desk.state(other).in_position


@pytest.fixture
def desk_of_two(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Desk]:
    made = open_desk(tmp_path, settings, django_user_model, ("BTCUSDT", "ETHUSDT"))
    yield made
    made.feed.close()
    made.paper.stop()


def desk_holds(desk: Desk) -> list[str]:
    return list(BotState.objects.order_by("bot_id").values_list("hold", flat=True))
