"""The rules of the limits across bots: what is added up, and where each limit lies."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from trading.limits_core import Breach, Entry, Holding, Limits, breach

ENTRY = Entry(bot_id=1, symbol="BTCUSDT", coin="BTC", cost=Decimal(100))


def holding(bot_id=2, symbol="ETHUSDT", quantity="1", entry="100", price="100", pending="0", pnl="0"):
    return Holding(
        bot_id=bot_id,
        account_id=1,
        symbol=symbol,
        quantity=Decimal(quantity),
        pending=Decimal(pending),
        entry_price=Decimal(entry) if entry else None,
        price=Decimal(price) if price else None,
        realized_today=Decimal(pnl),
    )


def judged(limits: dict, *holdings: Holding, orders: int = 0, entry: Entry = ENTRY) -> Breach | None:
    return breach(Limits("account main", **limits), holdings, entry, "USDT", orders)


def test_without_limits_nothing_is_forbidden():
    assert judged({}, holding(quantity="1000000", pnl="-1000000"), orders=10**6) is None


def test_open_positions_count_those_held_and_those_on_their_way():
    rows = [holding(2), holding(3, quantity="0", entry="", pending="1"), holding(4, quantity="0", entry="")]
    assert judged({"max_open_positions": 3}, *rows) is None
    assert judged({"max_open_positions": 2}, *rows) == Breach(
        "open positions", "not buying: open positions of account main: 2 of 2"
    )


def test_a_bot_that_adds_to_its_position_opens_none():
    assert judged({"max_open_positions": 1}, holding(bot_id=1)) is None


@pytest.mark.parametrize(("most", "is_allowed"), [("350", True), ("349.99", False)])
def test_exposure_adds_long_short_and_what_is_on_its_way(most, is_allowed):
    rows = [holding(2), holding(3, quantity="-1"), holding(4, quantity="0", entry="", pending="0.5")]
    found = judged({"max_exposure": Decimal(most)}, *rows)
    if is_allowed:
        assert found is None
    else:
        assert found == Breach(
            "exposure",
            "not buying: exposure of account main: 250.00 USDT, with this entry 350.00 USDT of 349.99 USDT",
        )


def test_exposure_per_coin_adds_the_same_coin_only():
    rows = [holding(2, "BTCUSDT"), holding(3, "ETHUSDT"), holding(4, "WBTCUSDT")]
    assert judged({"max_exposure_per_coin": Decimal(200)}, *rows) is None
    found = judged({"max_exposure_per_coin": Decimal(199)}, *rows)
    assert found is not None
    assert found.reason.startswith("not buying: exposure of account main in BTC: 100.00 USDT")


def test_exposure_goes_by_the_market_price_and_without_one_by_the_entry_price():
    assert judged({"max_exposure": Decimal(290)}, holding(price="200")) is not None
    assert judged({"max_exposure": Decimal(200)}, holding(price="")) is None


@pytest.mark.parametrize(("most", "is_allowed"), [("30.01", True), ("30", False)])
def test_the_daily_loss_adds_realised_and_unrealised_of_both_sides(most, is_allowed):
    rows = [
        holding(2, pnl="-5", price="90"),  # long: -10
        holding(3, quantity="-1", price="120"),  # short: -20
        holding(4, quantity="0", entry="", pnl="5"),
    ]
    found = judged({"max_daily_loss": Decimal(most)}, *rows)
    if is_allowed:
        assert found is None
    else:
        assert found == Breach(
            "daily loss", "not buying: daily loss of account main: 30.00 USDT lost, 30.00 USDT allowed"
        )


def test_a_daily_loss_once_reached_holds_for_the_day():
    found = judged({"max_daily_loss": Decimal(10), "loss_reached_today": True}, holding(pnl="100"))
    assert found == Breach(
        "daily loss", "not buying: daily loss of account main: the limit of 10.00 USDT was reached today"
    )


@pytest.mark.parametrize(
    ("limits", "row"),
    [
        ({"max_daily_loss": Decimal(10)}, holding(price="")),
        ({"max_exposure": Decimal(1000)}, holding(quantity="0", entry="", price="", pending="1")),
    ],
)
def test_what_cant_be_reckoned_is_refused_without_a_limit_being_reached(limits, row):
    found = judged(limits, row)
    assert found is not None
    assert found.limit == ""
    assert found.reason.endswith("can't be reckoned, for there is no fresh price of ETHUSDT")


@pytest.mark.parametrize(("orders", "is_allowed"), [(2, True), (3, False)])
def test_order_rate(orders, is_allowed):
    found = judged({"max_orders_per_minute": 3}, orders=orders)
    if is_allowed:
        assert found is None
    else:
        assert found == Breach(
            "orders per minute", "not buying: orders of account main in the last minute: 3 of 3"
        )


def test_a_short_is_not_sold() -> None:
    short = replace(ENTRY, is_short=True)
    found = breach(Limits("account main", max_orders_per_minute=3), [], short, "USDT", 3)
    assert found == Breach(
        "orders per minute", "not selling short: orders of account main in the last minute: 3 of 3"
    )
