"""Leverage, margin types, funding and liquidation, with numbers computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.paper.futures.rig import SYMBOL, FuturesRig, make_futures_rig
from trading.paper.errors import ApiError
from trading.paper.futures_contracts import brackets_for
from trading.paper.futures_funding import next_funding_ms, usual_rate
from trading.paper.futures_orders import CROSSED, ISOLATED

FLAT = (100.0, 100.0, 100.0, 100.0)
FALL = (100.0, 100.0, 90.0, 95.0)
RISE = (100.0, 110.0, 100.0, 105.0)
EIGHT_HOURS = 8 * 3600
Candles = Callable[..., Path]
D = Decimal


@pytest.fixture
def rig(candles: Candles) -> FuturesRig:
    return make_futures_rig(candles(FLAT, FALL, FLAT))


@pytest.fixture
def hours(candles: Candles) -> FuturesRig:
    """Nothing but 100 for seventeen hours; the first funding is at the start, and is over."""
    return make_futures_rig(candles(*[FLAT] * (17 * 60)))


@pytest.mark.parametrize(("leverage", "code"), [(0, -4028), (51, -4028), (126, -4028), (1, None), (50, None)])
def test_leverage_stays_within_the_brackets(rig: FuturesRig, leverage: int, code: int | None) -> None:
    if code is None:
        rig.leverage(leverage)
        assert rig.position.leverage == leverage
        return
    with pytest.raises(ApiError) as caught:
        rig.leverage(leverage)
    assert (caught.value.code, rig.position.leverage) == (code, 20)


def test_leverage_of_an_isolated_position_only_goes_up(rig: FuturesRig) -> None:
    rig.place("BUY")
    with pytest.raises(ApiError) as caught:
        rig.leverage(10)
    assert caught.value.code == -4161
    rig.leverage(25)
    assert rig.position.isolated_wallet == D("5.0005")  # what it has stays with it


def test_leverage_must_leave_room_for_the_position(rig: FuturesRig) -> None:
    rig.exchange.engine.book.by_symbol[SYMBOL] = D(10**7)
    rig.place("BUY", quantity="100")  # 10,000 USDT: 25 is the most for that
    with pytest.raises(ApiError) as caught:
        rig.leverage(50)
    assert (caught.value.code, rig.position.leverage) == (-2027, 20)


def test_leverage_of_a_cross_position_goes_down_as_far_as_the_money_goes(rig: FuturesRig) -> None:
    rig.exchange.engine.book.by_symbol[SYMBOL] = D(10**7)
    rig.futures.set_margin_type(rig.account, rig.contract, CROSSED, rig.now_ms)
    rig.place("BUY", quantity="150")
    rig.leverage(2)
    with pytest.raises(ApiError) as caught:
        rig.leverage(1)
    assert (caught.value.code, rig.position.leverage) == (-2028, 2)


def test_the_margin_type_changes_only_when_nothing_is_there(rig: FuturesRig) -> None:
    def code(kind: str) -> int:
        with pytest.raises(ApiError) as caught:
            rig.futures.set_margin_type(rig.account, rig.contract, kind, rig.now_ms)
        return caught.value.code

    assert code(ISOLATED) == -4046
    order, _ = rig.place("BUY", "LIMIT", price="98")
    assert code(CROSSED) == -4047
    rig.futures.cancel(order, rig.now_ms)
    rig.place("BUY")
    assert code(CROSSED) == -4048
    rig.place("SELL", reduce_only=True)
    rig.futures.set_margin_type(rig.account, rig.contract, CROSSED, rig.now_ms)
    assert rig.position.margin_type == CROSSED


def test_the_position_mode_changes_only_when_nothing_is_there(rig: FuturesRig) -> None:
    def code(is_dual: bool) -> int:
        with pytest.raises(ApiError) as caught:
            rig.futures.set_dual(rig.account, is_dual, rig.now_ms)
        return caught.value.code

    assert code(False) == -4059
    algo = rig.algo("SELL", "STOP_MARKET", "98")
    assert code(True) == -4067
    rig.futures.cancel_algo(algo, rig.now_ms)
    rig.place("BUY")
    assert code(True) == -4068
    rig.place("SELL", reduce_only=True)
    rig.futures.set_dual(rig.account, True, rig.now_ms)
    assert code(True) == -4059


@pytest.mark.parametrize("base", ["BTC", "SOL", "XYZ"])
def test_the_maintenance_margin_has_no_jump_between_brackets(base: str) -> None:
    brackets = brackets_for(base)
    for low, high in pairwise(brackets):
        assert low.cap == high.floor
        assert low.cap * low.rate - low.cum == low.cap * high.rate - high.cum
        assert (low.leverage, low.rate) > (high.leverage, D(0))
        assert D(1) / low.leverage > low.rate  # the initial margin is above the maintenance margin


# -- liquidation


@pytest.mark.parametrize(
    ("side", "leverage", "quantity", "expected"),
    [
        # (isolated + cum - sign * q * entry) / (q * rate - sign * q)
        ("BUY", 20, "1", (D("5.0005") - D("100.01")) / D("-0.99")),
        ("SELL", 20, "1", (D("4.9995") + D("99.99")) / D("1.01")),
        ("BUY", 1, "1", D(0)),
        # 10,001 of notional: second bracket, 2 % with cum 50
        ("BUY", 10, "100", (D("1000.1") + D(50) - 10_001) / D(-98)),
    ],
)
def test_the_liquidation_price(
    rig: FuturesRig, side: str, leverage: int, quantity: str, expected: Decimal
) -> None:
    rig.exchange.engine.book.by_symbol[SYMBOL] = D(10**7)
    rig.leverage(leverage)
    rig.place(side, quantity=quantity)
    price = rig.futures.state.liquidation_price(rig.position, rig.now_ms)
    assert price == expected


def test_a_cross_position_has_the_whole_wallet_behind_it(rig: FuturesRig) -> None:
    rig.exchange.engine.book.by_symbol[SYMBOL] = D(10**7)
    rig.futures.set_margin_type(rig.account, rig.contract, CROSSED, rig.now_ms)
    rig.place("SELL", quantity="100")
    assert rig.position.isolated_wallet == 0
    price = rig.futures.state.liquidation_price(rig.position, rig.now_ms)
    assert price == (rig.wallet + 50 + D("9999")) / D(102)  # the second bracket ends at 50,000


def test_a_liquidated_long_loses_what_was_set_aside_for_it(rig: FuturesRig) -> None:
    rig.place("BUY")
    resting, _ = rig.place("BUY", "LIMIT", price="95.1")
    rig.step(88)
    assert rig.position.quantity == 1  # at 95.97 after 28.06 s of the second candle
    rig.step(89)
    assert (rig.position.quantity, resting.status) == (D(0), "CANCELED")
    order = rig.orders()[-1]
    assert (order.client_id, order.status) == (f"autoclose-{order.order_id}", "FILLED")
    fill = rig.fills()[-1]
    assert fill.time_ms == rig.start_ms + 88_062
    assert (fill.price, fill.realized, fill.commission) == (D("95.01"), D("-5"), D(0))
    assert rig.wallet == rig.available == D("10000") - D("0.050005") - D(5)
    assert [one.amount for one in rig.income("REALIZED_PNL")] == [D(-5)]


def test_a_liquidated_short_is_bought_back(candles: Candles) -> None:
    rig = make_futures_rig(candles(FLAT, RISE, FLAT))
    rig.place("SELL")
    rig.step(130)
    fill = rig.fills()[-1]
    assert (fill.side, fill.price, fill.realized) == ("BUY", D("104.98"), D("-4.99"))
    assert rig.position.quantity == 0


def test_a_liquidated_cross_position_takes_the_wallet_along(candles: Candles) -> None:
    rig = make_futures_rig(candles(FLAT, RISE, FLAT))
    rig.exchange.engine.book.by_symbol[SYMBOL] = D(10**7)
    rig.futures.set_margin_type(rig.account, rig.contract, CROSSED, rig.now_ms)
    rig.place("SELL", quantity="1500")
    before = rig.wallet
    assert before == D("10000") - D("74.9925")
    rig.step(170)
    assert (rig.position.quantity, rig.fills()[-1].price) == (D(0), D("106.60"))  # 99.99 + 9925 / 1500
    assert rig.wallet == before - 1500 * D("6.61")


def test_only_the_mark_price_liquidates(rig: FuturesRig) -> None:
    rig.place("BUY")
    rig.futures.state.marks.set_price(SYMBOL, 100.0, rig.now_ms)
    rig.step(170)
    assert rig.position.quantity == 1
    rig.futures.state.marks.set_price(SYMBOL, 95.0, rig.now_ms)
    rig.step(171)
    assert (rig.position.quantity, rig.fills()[-1].price) == (D(0), D("95.01"))


def test_a_stop_before_the_liquidation_price_comes_first(rig: FuturesRig) -> None:
    rig.place("BUY")
    rig.algo("SELL", "STOP_MARKET", "97", close_position=True)
    rig.step(170)
    assert [one.client_id.split("-")[0] for one in rig.orders()] == ["id", "algo"]
    assert rig.fills()[-1].price == D(97)


def test_the_rest_of_the_account_is_untouched_by_a_liquidation(candles: Candles) -> None:
    folder = candles(FLAT, FALL, FLAT)
    candles(FLAT, FLAT, FLAT, symbol="ABCUSDT")
    rig = make_futures_rig(folder)
    other = rig.futures.state.contracts["ABCUSDT"]
    rig.place("BUY")
    rig.futures.set_leverage(rig.account, other, 10, rig.now_ms)
    rig.futures.books.save_position(rig.futures.ledger.position(rig.account.id, other))
    rig.step(170)
    assert rig.futures.ledger.position(rig.account.id, other).leverage == 10
    assert rig.position.leverage == 20  # the settings stay


# -- funding


@pytest.mark.parametrize(
    ("side", "rate", "amount"),
    [("BUY", "0.0001", "-0.01"), ("SELL", "0.0001", "0.01"), ("BUY", "-0.0003", "0.03"), ("SELL", "0", None)],
)
def test_longs_pay_a_positive_rate_and_shorts_receive_it(
    hours: FuturesRig, side: str, rate: str, amount: str | None
) -> None:
    hours.futures.rates.set_rate(SYMBOL, D(rate), hours.now_ms)
    hours.place(side)
    before, isolated = hours.wallet, hours.position.isolated_wallet
    hours.step(EIGHT_HOURS - 1)
    assert hours.income("FUNDING_FEE") == []
    hours.step(EIGHT_HOURS)
    found = hours.income("FUNDING_FEE")
    assert [one.amount for one in found] == ([] if amount is None else [D(amount)])
    assert hours.wallet - before == hours.position.isolated_wallet - isolated == D(amount or 0)
    assert [one.time_ms for one in found] == [hours.start_ms + EIGHT_HOURS * 1000] * len(found)


def test_funding_is_booked_once_however_late_or_often_somebody_looks(candles: Candles) -> None:
    folder = candles(*[FLAT] * (17 * 60))
    found = []
    for looks in ([16.5], [7.9, 8.0, 8.0, 8.1, 15.0, 16.0, 16.2, 16.5]):
        rig = make_futures_rig(folder)
        rig.place("BUY")
        for look in looks:
            rig.step(look * 3600)
        found.append([(one.time_ms, one.amount) for one in rig.income("FUNDING_FEE")])
    assert found[0] == found[1]
    assert [time_ms for time_ms, _ in found[0]] == [
        1_774_224_000_000 + hours * 3_600_000 for hours in (8, 16)
    ]


def test_a_position_closed_before_pays_nothing(hours: FuturesRig) -> None:
    hours.place("BUY")
    hours.step(EIGHT_HOURS - 1)
    hours.place("SELL", reduce_only=True)
    hours.step(EIGHT_HOURS + 1)
    assert hours.income("FUNDING_FEE") == []


def test_the_usual_rate_depends_on_seed_contract_and_time_only() -> None:
    at = 1_774_224_000_000
    rates = {
        usual_rate(seed, symbol, at + hours * 3_600_000)
        for seed in (1, 2)
        for symbol in ("BTCUSDT", "ETHUSDT")
        for hours in range(0, 400, 8)
    }
    assert rates == {D("0.0001"), D("-0.0001")}
    assert usual_rate(1, SYMBOL, at) == usual_rate(1, SYMBOL, at)
    assert (next_funding_ms(at), next_funding_ms(at - 1)) == (at + EIGHT_HOURS * 1000, at)


def test_funding_brings_the_liquidation_price_nearer(hours: FuturesRig) -> None:
    hours.place("BUY")
    before = hours.futures.state.liquidation_price(hours.position, hours.now_ms)
    hours.futures.rates.set_rate(SYMBOL, D("0.01"), hours.now_ms)
    hours.step(EIGHT_HOURS)
    after = hours.futures.state.liquidation_price(hours.position, hours.now_ms)
    assert after - before == D(1) / D("0.99")


def test_funding_can_liquidate(hours: FuturesRig) -> None:
    hours.place("BUY")
    hours.futures.rates.set_rate(SYMBOL, D("0.045"), hours.now_ms)
    hours.step(EIGHT_HOURS + 1)
    assert hours.position.quantity == 0
    assert hours.fills()[-1].time_ms == hours.start_ms + EIGHT_HOURS * 1000
    assert hours.wallet == D("10000") - D("0.050005") - D("4.5") - D("0.5")


def test_a_rate_set_by_hand_holds_until_it_is_taken_back(hours: FuturesRig) -> None:
    rates, start = hours.futures.rates, hours.start_ms
    rates.set_rate(SYMBOL, D("0.002"), start)
    rates.set_rate(SYMBOL, None, start + 1)
    assert rates.rate(SYMBOL, start) == D("0.002")
    assert rates.rate(SYMBOL, start + 1) in (D("0.0001"), D("-0.0001"))
