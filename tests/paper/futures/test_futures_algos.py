"""Conditional orders on handmade candles: what triggers them, what becomes of them, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.paper.futures.rig import SYMBOL, FuturesRig, make_futures_rig
from trading.paper.errors import ApiError
from trading.paper.futures_orders import LAST, MARK

FLAT = (100.0, 100.0, 100.0, 100.0)
FALL = (100.0, 100.0, 97.0, 97.0)  # 97 after 40 s of the candle, in a straight line from 20 s on
RISE = (100.0, 103.0, 100.0, 103.0)  # a rising candle: 100 until 20 s, 103 at 40 s
LOW = (97.0, 97.0, 97.0, 97.0)
HIGH = (103.0, 103.0, 103.0, 103.0)
Candles = Callable[..., Path]
D = Decimal


@pytest.fixture
def falling(candles: Candles) -> FuturesRig:
    return make_futures_rig(candles(FLAT, FALL, LOW))


@pytest.fixture
def rising(candles: Candles) -> FuturesRig:
    return make_futures_rig(candles(FLAT, RISE, HIGH))


def actual(rig: FuturesRig, algo: Any) -> Any:
    """The order that a conditional order has become."""
    found = [one for one in rig.orders() if one.order_id == algo.actual_order_id]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("side", "type_", "trigger", "falls", "rises"),
    [
        ("SELL", "STOP_MARKET", "98.5", True, False),
        ("SELL", "TAKE_PROFIT_MARKET", "101.5", False, True),
        ("BUY", "STOP_MARKET", "101.5", False, True),
        ("BUY", "TAKE_PROFIT_MARKET", "98.5", True, False),
    ],
)
@pytest.mark.parametrize("working", [LAST, MARK])
def test_each_type_triggers_on_its_side(
    candles: Candles, side: str, type_: str, trigger: str, falls: bool, rises: bool, working: str
) -> None:
    for path, expected in (((FLAT, FALL, LOW), falls), ((FLAT, RISE, HIGH), rises)):
        rig = make_futures_rig(candles(*path))
        algo = rig.algo(side, type_, trigger, working_type=working)
        rig.step(170)
        assert algo.status == ("FINISHED" if expected else "NEW")
        assert [(one.side, one.status) for one in rig.orders()] == [(side, "FILLED")] * expected
        if expected:
            assert algo.trigger_ms == rig.start_ms + 60_000 + 30_000


def test_a_stop_closes_the_position_as_an_order_of_its_own(falling: FuturesRig) -> None:
    falling.place("BUY", quantity="2")
    algo = falling.algo("SELL", "STOP_MARKET", "98.5", close_position=True, client_id="stop")
    falling.step(170)
    order = actual(falling, algo)
    assert (order.client_id, order.type, order.original_type) == ("stop", "MARKET", "STOP_MARKET")
    assert (order.quantity, order.reduce_only, order.close_position) == (D(2), True, True)
    assert (order.average_price, order.stop_price) == (D("98.5"), D("98.5"))
    assert (algo.actual_price, algo.actual_quantity) == (D("98.5"), D(2))
    assert falling.position.quantity == 0
    assert [fill.realized for fill in falling.fills()] == [D(0), D("-3.02")]


def test_a_stop_limit_is_triggered_until_its_order_is_done(falling: FuturesRig) -> None:
    algo = falling.algo("SELL", "STOP", "98.5", price="99")
    falling.step(100)
    order = actual(falling, algo)
    assert (algo.status, order.status, order.type) == ("TRIGGERED", "NEW", "LIMIT")
    with pytest.raises(ApiError) as caught:
        falling.futures.cancel_algo(algo, falling.now_ms)
    assert caught.value.code == -2011
    falling.futures.cancel(order, falling.now_ms)
    assert (algo.status, order.status) == ("FINISHED", "CANCELED")


def test_a_take_profit_limit_fills_at_its_price_or_better(rising: FuturesRig) -> None:
    rising.place("BUY")
    algo = rising.algo("SELL", "TAKE_PROFIT", "101.5", price="101.4", reduce_only=True)
    rising.step(170)
    assert (algo.status, actual(rising, algo).average_price) == ("FINISHED", D("101.49"))


@pytest.mark.parametrize(("working", "status"), [(MARK, "FINISHED"), (LAST, "NEW")])
def test_the_mark_price_is_another_one_than_the_last(rising: FuturesRig, working: str, status: str) -> None:
    algo = rising.algo("SELL", "STOP_MARKET", "98", working_type=working)
    rising.futures.state.marks.set_price(SYMBOL, 97.0, rising.now_ms)
    rising.step(1)
    assert algo.status == status
    if status == "FINISHED":
        assert actual(rising, algo).average_price == D("99.99")  # it sells at the traded price


def test_between_trigger_and_order_it_is_triggering(falling: FuturesRig) -> None:
    falling.futures.events.trigger_delay_ms = 10_000
    falling.place("BUY")
    algo = falling.algo("SELL", "STOP_MARKET", "98.5", reduce_only=True)
    falling.step(95)
    assert (algo.status, algo.actual_order_id) == ("TRIGGERING", 0)
    with pytest.raises(ApiError) as caught:
        falling.futures.cancel_algo(algo, falling.now_ms)
    assert caught.value.code == -2011
    assert falling.futures.books.live_algos(falling.account.id) == [algo]
    falling.step(101)
    assert algo.status == "FINISHED"
    assert falling.fills()[-1].time_ms == falling.start_ms + 100_000
    assert falling.fills()[-1].price == D(97)


@pytest.mark.parametrize("values", [{"reduce_only": True}, {"close_position": True}])
def test_with_nothing_to_reduce_it_is_rejected(falling: FuturesRig, values: dict[str, bool]) -> None:
    algo = falling.algo("SELL", "STOP_MARKET", "98.5", **values)
    falling.step(170)
    assert (algo.status, algo.reason) == ("REJECTED", "ReduceOnly Order is rejected.")
    assert falling.orders() == []


def test_margin_is_looked_at_when_it_triggers(falling: FuturesRig) -> None:
    algo = falling.algo("SELL", "STOP_MARKET", "98.5", "5000")
    falling.step(170)
    assert (algo.status, algo.reason) == ("REJECTED", "Margin is insufficient.")
    assert falling.position.quantity == 0


@pytest.mark.parametrize(("force", "status"), [("GTC", "NEW"), ("GTE_GTC", "EXPIRED")])
def test_gte_gtc_lasts_as_long_as_the_position(falling: FuturesRig, force: str, status: str) -> None:
    falling.place("BUY")
    algo = falling.algo("SELL", "STOP_MARKET", "98.5", close_position=True, time_in_force=force)
    falling.place("SELL", reduce_only=True)
    assert algo.status == status


@pytest.mark.parametrize(
    ("algo", "values", "code"),
    [
        (("SELL", "STOP_MARKET", "100"), {}, -2021),
        (("BUY", "STOP_MARKET", "100"), {}, -2021),
        (("SELL", "TAKE_PROFIT_MARKET", "99"), {}, -2021),
        (("BUY", "TAKE_PROFIT_MARKET", "101"), {}, -2021),
        (("SELL", "STOP_MARKET", "0"), {}, -4006),
        (("SELL", "STOP_MARKET", "98.005"), {}, -4014),
        (("SELL", "STOP_MARKET", "98", "0"), {}, -4003),
        (("SELL", "STOP", "98", "1"), {"price": "97.123"}, -4014),
        (("SELL", "STOP_MARKET", "97", "1"), {"client_id": "there"}, -4116),
        (("SELL", "STOP_MARKET", "97"), {"close_position": True}, -4130),
    ],
)
def test_what_cannot_be_a_conditional_order(
    falling: FuturesRig, algo: tuple[str, ...], values: dict[str, Any], code: int
) -> None:
    falling.algo("SELL", "STOP_MARKET", "98", close_position=True, client_id="there")
    with pytest.raises(ApiError) as caught:
        falling.algo(*algo, **values)
    assert caught.value.code == code
    assert len(falling.futures.books.live_algos(falling.account.id)) == 1


def test_two_hundred_conditional_orders_are_enough(falling: FuturesRig) -> None:
    for place in range(200):
        falling.algo("SELL", "STOP_MARKET", "98", client_id=f"algo-{place}")
    with pytest.raises(ApiError) as caught:
        falling.algo("SELL", "STOP_MARKET", "98", client_id="one more")
    assert caught.value.code == -4045


def test_a_cancelled_one_never_triggers(falling: FuturesRig) -> None:
    algo = falling.algo("SELL", "STOP_MARKET", "98.5")
    falling.futures.cancel_algo(algo, falling.now_ms)
    falling.step(170)
    assert (algo.status, falling.orders()) == ("CANCELED", [])


def test_a_stop_that_a_halt_covers_triggers_afterwards(falling: FuturesRig) -> None:
    algo = falling.algo("SELL", "STOP_MARKET", "98.5")
    falling.futures.state.set_status(SYMBOL, "BREAK", falling.now_ms)
    falling.step(130)
    assert algo.status == "NEW"
    falling.futures.state.set_status(SYMBOL, "TRADING", falling.now_ms)
    falling.step(131)
    assert (algo.status, algo.trigger_ms) == ("FINISHED", falling.start_ms + 130_000)
    assert actual(falling, algo).average_price == D(97)
