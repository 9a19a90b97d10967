"""difference(): withdraw what is not wished, place what does not exist, and leave the rest alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.decide import difference
from trading.types import LiveOrder, Wish


def wish(purpose: str = "STOP", part: int = 0, **changes) -> Wish:
    values = {
        "side": "SELL",
        "type": "STOP_LOSS_LIMIT",
        "lots": 5,
        "reason": "r",
        "price": 97.0,
        "stop_price": 98.0,
    }
    return Wish(purpose, part, **values | changes)


def live(purpose: str = "STOP", part: int = 0, **changes) -> LiveOrder:
    values = {"side": "SELL", "type": "STOP_LOSS_LIMIT", "lots": 5, "price": 97.0, "stop_price": 98.0}
    return LiveOrder(purpose, part, **values | changes)


def test_nothing_wished_and_nothing_live_is_no_difference() -> None:
    assert difference([], []) == ((), ())


def test_what_exists_is_left_alone() -> None:
    assert difference([wish()], [live(client_order_id="a")]) == ((), ())


def test_what_is_missing_is_placed_and_what_is_not_wished_is_withdrawn() -> None:
    assert difference([wish("TARGET")], [live("STOP")]) == ((live("STOP"),), (wish("TARGET"),))


@pytest.mark.parametrize(
    "change", [{"lots": 4}, {"price": 96.0}, {"stop_price": 97.5}, {"type": "STOP_LOSS"}]
)
def test_what_differs_is_withdrawn_and_placed_anew(change: dict[str, object]) -> None:
    assert difference([wish(**change)], [live()]) == ((live(),), (wish(**change),))


def test_parts_are_orders_of_their_own() -> None:
    grid = [wish("GRID", part) for part in range(3)]
    assert difference(grid, [live("GRID", 1), live("GRID", 7)]) == ((live("GRID", 7),), (grid[0], grid[2]))


def test_a_market_order_on_its_way_meets_its_wish_whatever_size_and_price_are_wished_now() -> None:
    on_its_way = live("ENTRY", side="BUY", type="MARKET", lots=7, price=None, stop_price=None)
    wanted = wish("ENTRY", side="BUY", type="MARKET", lots=8, price=101.0, stop_price=None)
    assert difference([wanted], [on_its_way]) == ((), ())


def test_a_market_order_is_never_withdrawn() -> None:
    assert difference([], [live("EXIT", type="MARKET", price=None, stop_price=None)]) == ((), ())


def test_exits_come_before_protection_before_entries() -> None:
    wanted = [wish(purpose) for purpose in ("GRID", "DCA", "ENTRY", "TARGET", "STOP", "EXIT")]
    placed = difference(wanted, [])[1]
    assert [order.purpose for order in placed] == ["EXIT", "STOP", "TARGET", "ENTRY", "DCA", "GRID"]


def test_a_second_live_order_of_one_key_is_withdrawn() -> None:
    first, second = live(client_order_id="a"), live(client_order_id="b")
    assert difference([wish()], [first, second]) == ((second,), ())


def test_two_wishes_of_one_key_are_refused() -> None:
    with pytest.raises(ValueError, match="same purpose and part"):
        difference([wish(), wish(lots=6)], [])


KEYS = st.tuples(st.sampled_from(["EXIT", "STOP", "TARGET", "ENTRY", "GRID"]), st.integers(0, 3))


@given(
    st.dictionaries(KEYS, st.integers(1, 3)),
    st.dictionaries(KEYS, st.integers(1, 3)),
)
def test_carrying_out_a_difference_leaves_none(wanted: dict, existing: dict) -> None:
    wishes = [wish(*key, lots=lots) for key, lots in wanted.items()]
    orders = [live(*key, lots=lots) for key, lots in existing.items()]
    withdraw, place = difference(wishes, orders)
    after = [order for order in orders if order not in withdraw]
    after += [live(order.purpose, order.part, lots=order.lots) for order in place]
    assert difference(wishes, after) == ((), ())
    assert {(order.purpose, order.part): order.lots for order in after} == wanted
