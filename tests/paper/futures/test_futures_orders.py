"""Futures orders on handmade candles: positions, profit, fees and refusals to the last digit."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.paper.futures.rig import ASK, BID, FuturesRig, make_futures_rig
from trading.paper.errors import ApiError

FLAT = (100.0, 100.0, 100.0, 100.0)
RISE = (100.0, 104.0, 100.0, 104.0)
HIGH = (104.0, 104.0, 104.0, 104.0)
FALL = (104.0, 104.0, 98.0, 98.0)
Candles = Callable[..., Path]
D = Decimal


@pytest.fixture
def rig(candles: Candles) -> FuturesRig:
    return make_futures_rig(candles(FLAT, RISE, HIGH, FALL))


def code_of(rig: FuturesRig, *args: Any, **values: Any) -> int:
    """The code with which an order is refused; nothing has changed."""
    before = (rig.wallet, rig.position.quantity, len(rig.orders()), len(rig.income()))
    with pytest.raises(ApiError) as caught:
        rig.place(*args, **values)
    assert (rig.wallet, rig.position.quantity, len(rig.orders()), len(rig.income())) == before
    return caught.value.code


def test_a_market_buy_opens_a_long_and_sets_its_margin_aside(rig: FuturesRig) -> None:
    order, [fill] = rig.place("BUY")
    assert (order.status, order.average_price) == ("FILLED", ASK)
    assert (fill.price, fill.realized, fill.commission) == (ASK, D(0), D("0.05000500"))
    assert (rig.position.quantity, rig.position.entry_price) == (D(1), ASK)
    assert rig.position.isolated_wallet == D("5.00050000")  # leverage 20
    assert rig.wallet == D("10000") - D("0.050005")
    assert rig.available == rig.wallet - D("5.0005")


def test_closing_a_long_books_its_profit(rig: FuturesRig) -> None:
    rig.place("BUY", quantity="2")
    rig.step(150)
    _, [fill] = rig.place("SELL", quantity="2", reduce_only=True)
    assert (fill.price, fill.realized) == (D("103.99"), D("7.96"))
    assert (rig.position.quantity, rig.position.isolated_wallet) == (D(0), D(0))
    fees = D("0.10001") + D("0.10399")
    assert rig.wallet == rig.available == D("10000") + D("7.96") - fees


def test_a_short_loses_when_the_price_rises(rig: FuturesRig) -> None:
    rig.leverage(10)
    rig.place("SELL", quantity="2")
    assert (rig.position.quantity, rig.position.entry_price) == (D(-2), BID)
    rig.step(150)
    assert rig.position.profit(D("104")) == D("-8.02")
    _, [fill] = rig.place("BUY", quantity="2")
    assert (fill.price, fill.realized) == (D("104.01"), D("-8.04"))
    assert rig.position.quantity == 0


def test_a_part_that_is_closed_takes_its_share_of_the_margin_along(rig: FuturesRig) -> None:
    rig.place("BUY", quantity="4")
    before = rig.position.isolated_wallet
    rig.step(150)
    _, [fill] = rig.place("SELL", quantity="1")
    assert fill.realized == D("3.98")
    assert (rig.position.quantity, rig.position.entry_price) == (D(3), ASK)
    assert rig.position.isolated_wallet == before * 3 / 4


def test_adding_to_a_position_averages_its_entry(rig: FuturesRig) -> None:
    rig.place("BUY", quantity="1")
    rig.step(150)
    rig.place("BUY", quantity="3")
    assert rig.position.entry_price == (D("100.01") + 3 * D("104.01")) / 4
    assert rig.position.isolated_wallet == D("5.0005") + D("15.6015")


def test_selling_more_than_there_is_turns_the_position_around(rig: FuturesRig) -> None:
    rig.place("BUY", quantity="1")
    rig.step(150)
    _, [fill] = rig.place("SELL", quantity="3")
    assert fill.realized == D("3.98")
    assert (rig.position.quantity, rig.position.entry_price) == (D(-2), D("103.99"))
    assert rig.position.isolated_wallet == D("10.399")


def test_the_wallet_is_the_sum_of_its_income(rig: FuturesRig) -> None:
    rig.place("BUY", quantity="3")
    rig.step(150)
    rig.place("SELL", quantity="5")
    rig.step(239)
    rig.place("BUY", quantity="2")
    assert rig.wallet == sum(one.amount for one in rig.income())
    assert [one.kind for one in rig.income()][:3] == ["TRANSFER", "COMMISSION", "REALIZED_PNL"]
    ids = [one.tran_id for one in rig.income()]
    assert len(set(ids)) == len(ids)
    gross = sum(fill.quote_quantity * (1 if fill.side == "SELL" else -1) for fill in rig.fills())
    assert sum(fill.realized for fill in rig.fills()) == gross  # flat again


def test_a_resting_limit_keeps_margin_back_and_fills_as_a_maker(rig: FuturesRig) -> None:
    order, fills = rig.place("SELL", "LIMIT", "2", price="102")
    assert (order.status, fills) == ("NEW", [])
    assert rig.available == D("10000") - D("10.2")
    rig.step(120)
    assert order.status == "FILLED"
    [fill] = rig.fills()
    assert (fill.price, fill.is_maker, fill.commission) == (D("102"), True, D("0.0408"))
    assert fill.time_ms == rig.start_ms + 60_000 + 30_000  # half way up from 100 to 104
    assert (rig.position.quantity, rig.position.isolated_wallet) == (D(-2), D("10.2"))


def test_buys_and_sells_that_rest_keep_back_the_dearer_side_only(rig: FuturesRig) -> None:
    rig.place("SELL", "LIMIT", "2", price="104")
    rig.place("BUY", "LIMIT", "1", price="98")
    assert rig.available == D("10000") - D("10.4")


@pytest.mark.parametrize(("leverage", "quantity", "opens"), [(20, "1990", True), (20, "2000", False)])
def test_margin_limits_what_can_be_opened(rig: FuturesRig, leverage: int, quantity: str, opens: bool) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D(10**7)
    rig.leverage(leverage)
    if not opens:
        assert code_of(rig, "BUY", quantity=quantity) == -2019
        return
    rig.futures.ledger.taker_rate = D(0)
    rig.place("BUY", quantity=quantity)
    assert rig.position.quantity == D(quantity)


@pytest.mark.parametrize(
    ("leverage", "quantity", "code"),
    [(50, "49", None), (50, "51", -2027), (25, "499", None), (25, "501", -2027)],
)
def test_the_bracket_limits_the_position_at_a_leverage(
    rig: FuturesRig, leverage: int, quantity: str, code: int | None
) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D(10**7)
    rig.leverage(leverage)
    if code is None:
        rig.place("BUY", quantity=quantity)
        assert rig.position.quantity == D(quantity)
    else:
        assert code_of(rig, "BUY", quantity=quantity) == code


def test_orders_that_rest_count_towards_the_bracket(rig: FuturesRig) -> None:
    rig.leverage(50)
    rig.place("BUY", "LIMIT", "30", price="99")
    assert code_of(rig, "BUY", "LIMIT", "30", price="98") == -2027


def test_turning_around_may_use_the_margin_that_it_frees(rig: FuturesRig) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D(10**7)
    rig.leverage(1)
    rig.place("BUY", quantity="99")
    assert rig.available < 100
    rig.place("SELL", quantity="190")
    assert rig.position.quantity == D("-91")
    assert code_of(rig, "SELL", quantity="50") == -2019


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_without_a_position_there_is_nothing_to_reduce(rig: FuturesRig, side: str) -> None:
    assert code_of(rig, side, reduce_only=True) == -2022


def test_reduce_only_on_the_wrong_side_is_refused(rig: FuturesRig) -> None:
    rig.place("BUY")
    assert code_of(rig, "BUY", reduce_only=True) == -2022


def test_reduce_only_is_cut_to_the_position(rig: FuturesRig) -> None:
    rig.place("BUY", quantity="1.5")
    order, _ = rig.place("SELL", quantity="4", reduce_only=True)
    assert (order.quantity, order.executed, order.status) == (D("1.5"), D("1.5"), "FILLED")
    assert rig.position.quantity == 0


def test_reduce_only_orders_that_rest_may_cover_the_position_once(rig: FuturesRig) -> None:
    rig.place("BUY", quantity="2")
    rig.place("SELL", "LIMIT", "2", price="103", reduce_only=True)
    assert code_of(rig, "SELL", "LIMIT", "1", price="104", reduce_only=True) == -2022
    order, _ = rig.place("SELL", quantity="2", reduce_only=True)
    assert order.status == "FILLED"
    assert [one.status for one in rig.orders()] == ["FILLED", "EXPIRED", "FILLED"]


def test_a_resting_reduce_only_order_takes_no_more_than_is_left(rig: FuturesRig) -> None:
    rig.place("BUY", quantity="2")
    resting, _ = rig.place("SELL", "LIMIT", "2", price="103", reduce_only=True)
    rig.place("SELL", quantity="0.5")
    rig.step(120)
    assert (resting.status, resting.executed) == ("EXPIRED", D("1.5"))
    assert rig.position.quantity == 0


def test_reduce_only_beside_an_opening_order_needs_its_margin(rig: FuturesRig) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D(10**7)
    rig.leverage(1)
    rig.place("BUY", quantity="99")
    rig.place("SELL", "LIMIT", "99", price="104")
    assert code_of(rig, "SELL", quantity="99", reduce_only=True) == -4118


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (("BUY", "MARKET", "0"), -4003),
        (("BUY", "MARKET", "0.15"), -1111),
        (("BUY", "MARKET", "0.1"), -4164),
        (("BUY", "LIMIT", "0.2", {"price": "99.99"}), -4164),
        (("BUY", "MARKET", "102041"), -4005),
        (("BUY", "LIMIT", "1", {"price": "0"}), -4001),
        (("BUY", "LIMIT", "1", {"price": "100.005"}), -4014),
        (("BUY", "LIMIT", "1", {"price": "100.0005"}), -1111),
        (("BUY", "LIMIT", "1", {"price": "105.01"}), -4016),
        (("SELL", "LIMIT", "1", {"price": "94.99"}), -4024),
        (("BUY", "LIMIT", "1", {"price": "99999"}), -4002),
        (("BUY", "LIMIT", "1", {"price": "100.01", "time_in_force": "GTX"}), -5022),
    ],
)
def test_each_filter_has_its_code(rig: FuturesRig, order: tuple[Any, ...], code: int) -> None:
    rig.contract.spec.filters["MIN_NOTIONAL"]["notional"] = "20"
    values = order[3] if len(order) > 3 else {}
    assert code_of(rig, *order[:3], **values) == code


def test_a_small_reduce_only_order_needs_no_notional(rig: FuturesRig) -> None:
    rig.contract.spec.filters["MIN_NOTIONAL"]["notional"] = "20"
    rig.place("BUY", quantity="1")
    order, _ = rig.place("SELL", quantity="0.1", reduce_only=True)
    assert order.status == "FILLED"


def test_a_step_coarser_than_the_precision_has_a_code_of_its_own(rig: FuturesRig) -> None:
    rig.contract.spec.filters["LOT_SIZE"]["stepSize"] = "0.5"
    rig.contract.spec.filters["LOT_SIZE"]["minQty"] = "0.5"
    assert code_of(rig, "BUY", quantity="0.7") == -4023
    assert code_of(rig, "BUY", quantity="0.4") == -4004


def test_fok_takes_all_or_nothing_and_ioc_what_there_is(rig: FuturesRig) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D(100)
    fok = {"price": "100.01", "time_in_force": "FOK"}
    assert code_of(rig, "BUY", "LIMIT", "20", **fok) == -5021
    ioc, fills = rig.place("BUY", "LIMIT", "20", price="100.01", time_in_force="IOC")
    assert ioc.status == "EXPIRED"
    assert D(0) < ioc.executed == fills[0].quantity == rig.position.quantity


def test_a_market_order_far_from_the_mark_is_refused(rig: FuturesRig) -> None:
    rig.futures.state.marks.set_price("XYZUSDT", 90.0, rig.now_ms)
    assert code_of(rig, "BUY") == -4131
    rig.place("SELL")


def test_a_client_id_is_free_again_when_its_order_is_done(rig: FuturesRig) -> None:
    rig.place("BUY", "LIMIT", price="98", client_id="mine")
    assert code_of(rig, "BUY", client_id="mine") == -4116
    rig.futures.cancel(rig.orders()[0], rig.now_ms)
    order, _ = rig.place("BUY", client_id="mine")
    found = rig.futures.books.find_order(rig.account, "XYZUSDT", None, "mine")
    assert found is not None
    assert found.order_id == order.order_id


def test_a_cancelled_order_gives_its_margin_back_and_stays_cancelled(rig: FuturesRig) -> None:
    order, _ = rig.place("BUY", "LIMIT", price="98")
    rig.futures.cancel(order, rig.now_ms)
    assert (order.status, rig.available) == ("CANCELED", D(10_000))
    with pytest.raises(ApiError) as caught:
        rig.futures.cancel(order, rig.now_ms)
    assert caught.value.code == -2011


def test_a_halted_contract_takes_nothing(rig: FuturesRig) -> None:
    rig.futures.state.set_status("XYZUSDT", "BREAK", rig.now_ms)
    assert rig.futures.state.status("XYZUSDT") == "SETTLING"
    assert code_of(rig, "BUY") == -4140


def test_looking_each_second_books_the_same_as_looking_once(candles: Candles) -> None:
    folder = candles(FLAT, RISE, HIGH, FALL, FLAT)
    books = []
    for seconds in ([300.0], [float(second) for second in range(1, 301)]):
        rig = make_futures_rig(folder)
        rig.place("BUY", quantity="2")
        rig.place("SELL", "LIMIT", "1", price="103", reduce_only=True)
        rig.place("BUY", "LIMIT", "1", price="99")
        rig.algo("SELL", "STOP_MARKET", "98.5", close_position=True)
        for second in seconds:
            rig.step(second)
        fills = [(one.time_ms, one.side, one.price, one.quantity, one.realized) for one in rig.fills()]
        books.append((fills, rig.wallet, rig.position.quantity))
    assert books[0] == books[1]
    assert len(books[0][0]) == 4
    assert books[0][2] == 0
