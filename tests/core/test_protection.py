"""Which stops and targets should rest on the exchange, and the plan that brings them there."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import NOW, at_price, bot, position, rules
from trading.decide import decide
from trading.plan import Place, Withdraw, next_step
from trading.types import Decision, LiveOrder, Protection, Wish

BOTH = Protection(stop_loss_perc=2.0, take_profit_perc=10.0)
SPOT = rules(order_types=("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"))
LONG, SHORT = bot(market="futures"), bot(market="futures", position_type="short")


def held(protection: Protection = BOTH, config: Any = None, price: float = 101.0, **state: Any) -> Decision:
    view = at_price(price, rules=state.pop("rules", SPOT))
    return decide(config or bot(), position(protection=protection, **state), view, NOW)


def as_live(wish: Wish, **changes: Any) -> LiveOrder:
    values = {
        "purpose": wish.purpose,
        "part": wish.part,
        "side": wish.side,
        "type": wish.type,
        "lots": wish.lots,
        "price": wish.price,
        "stop_price": wish.stop_price,
        "client_order_id": wish.purpose,
        "request_id": 1,
    }
    return LiveOrder(**values | changes)


def terms(wish: Wish) -> tuple[Any, ...]:
    return wish.purpose, wish.side, wish.type, wish.lots, wish.price, wish.stop_price


def test_a_spot_position_wishes_a_stop_and_a_maker_target() -> None:
    assert [terms(wish) for wish in held().wishes] == [
        ("STOP", "SELL", "STOP_LOSS", 1000, None, 98.0),
        ("TARGET", "SELL", "LIMIT_MAKER", 1000, 110.0, None),
    ]


def test_where_a_symbol_takes_no_stop_at_market_its_limit_is_one_percent_beyond() -> None:
    limits = rules(order_types=("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT"))
    stop = held(rules=limits).wishes[0]
    assert terms(stop) == ("STOP", "SELL", "STOP_LOSS_LIMIT", 1000, 97.02, 98.0)


def test_a_target_alone_is_a_plain_limit() -> None:
    assert [terms(wish) for wish in held(Protection(take_profit_perc=10.0)).wishes] == [
        ("TARGET", "SELL", "LIMIT", 1000, 110.0, None)
    ]


@pytest.mark.parametrize(
    ("config", "side", "stop", "target"), [(LONG, "SELL", 98.0, 110.0), (SHORT, "BUY", 102.0, 90.0)]
)
def test_futures_wish_conditional_orders_whatever_the_symbol_lists(config, side, stop, target) -> None:
    assert [terms(wish) for wish in held(config=config, price=100.5, rules=rules()).wishes] == [
        ("STOP", side, "STOP_MARKET", 1000, None, stop),
        ("TARGET", side, "TAKE_PROFIT_MARKET", 1000, None, target),
    ]


@pytest.mark.parametrize(("trailing", "stop"), [(97.0, 98.0), (98.0, 98.0), (99.5, 99.5)])
def test_the_nearer_of_stop_and_trailing_stop_rests(trailing: float, stop: float) -> None:
    assert held(trailing_stop_price=trailing).wishes[0].stop_price == stop


def test_prices_are_whole_ticks_away_from_the_position() -> None:
    coarse = rules(order_types=SPOT.order_types, tick=Decimal("0.5"))
    protection = Protection(stop_loss_perc=1.3, take_profit_perc=1.3)  # 98.7 and 101.3
    stop, target = held(protection, rules=coarse, price=100.0).wishes
    assert (stop.stop_price, target.price) == (98.5, 101.5)


def test_what_is_too_small_for_the_exchange_is_watched_and_said() -> None:
    small = rules(order_types=SPOT.order_types, min_notional=Decimal("98.5"))
    decision = held(rules=small)
    assert [wish.purpose for wish in decision.wishes] == ["TARGET"]
    assert decision.reasons[-1] == (
        "the stop can't rest on the exchange, it is watched at each look: "
        "worth 98 USDT is below the smallest allowed, 98.5"
    )


def test_without_rules_nothing_is_wished() -> None:
    assert held(rules=None).wishes == ()


def test_a_price_beyond_a_resting_order_is_asked_for_and_left_at_market_after_ten_seconds() -> None:
    live = tuple(as_live(wish) for wish in held().wishes)
    first = held(price=97.0, live=live)
    assert (first.status, first.stop_passed, first.exit_wanted) == ("in position", True, None)
    assert first.wishes == held().wishes
    waiting = held(price=97.0, live=live, stop_passed_at=NOW - timedelta(seconds=9.9))
    assert waiting.exit_wanted is None
    over = held(price=97.0, live=live, stop_passed_at=NOW - timedelta(seconds=10))
    assert over.exit_wanted == "stop-loss: price 97 is at or below 98"
    assert [wish.purpose for wish in over.wishes] == ["EXIT"]


@pytest.mark.parametrize("change", [{"stop_price": 97.0}, {"lots": 999}, {"in_doubt": True}])
def test_a_stop_that_is_not_there_as_wished_does_not_hold_the_exit_back(change: dict[str, Any]) -> None:
    stop, target = (as_live(wish) for wish in held().wishes)
    changed = as_live(held().wishes[0], **change)
    assert held(price=97.0, live=(changed, target)).exit_wanted is not None
    assert held(price=97.0, live=(stop, target)).exit_wanted is None


def test_a_stop_in_doubt_does_not_read_as_an_exit_in_doubt() -> None:
    live = tuple(as_live(wish, in_doubt=True) for wish in held().wishes)
    assert held(live=live, exit_in_doubt=True).status == "in position"
    assert held(exit_in_doubt=True).status == "exiting"


# --- the plan ---------------------------------------------------------------------------------------

STOP, TARGET = held().wishes
EXIT = Wish("EXIT", 0, "SELL", "MARKET", 1000, "r", price=97.0)
ENTRY = Wish("ENTRY", 0, "BUY", "MARKET", 10, "r", price=97.0, signal_time=NOW)
LIVE = (as_live(STOP), as_live(TARGET))


def step(wishes: Any, live: Any, market: str = "spot", **options: Any) -> Any:
    return next_step(wishes, live, market=market, **options)


def test_spot_places_stop_and_target_by_one_request_and_futures_by_two() -> None:
    assert step((STOP, TARGET), ()) == Place((STOP, TARGET))
    assert step((STOP, TARGET), (), "futures") == Place((STOP,))
    assert step((STOP, TARGET), LIVE[:1], "futures") == Place((TARGET,))
    assert step((STOP, TARGET), LIVE) is None


def test_a_spot_list_of_which_one_leg_is_gone_or_differs_is_withdrawn_whole() -> None:
    assert step((STOP, TARGET), LIVE[:1]) == Withdraw(LIVE[:1])
    moved = (as_live(STOP, stop_price=97.5), LIVE[1])
    assert step((STOP, TARGET), moved) == Withdraw(moved)
    assert step((TARGET,), LIVE) == Withdraw(LIVE)


def test_futures_withdraw_only_what_differs() -> None:
    moved = (as_live(STOP, stop_price=97.5), as_live(TARGET, request_id=2))
    assert step((STOP, TARGET), moved, "futures") == Withdraw(moved[:1])


def test_an_exit_comes_behind_the_withdrawal_on_spot_and_before_it_on_futures() -> None:
    assert step((EXIT,), LIVE) == Withdraw(LIVE)
    assert step((EXIT,), ()) == Place((EXIT,))
    assert step((EXIT,), LIVE, "futures") == Place((EXIT,))
    assert step((EXIT,), LIVE, "futures", withdraw_first=True) == Withdraw(LIVE)


def test_what_is_left_over_goes_before_a_new_entry() -> None:
    assert step((ENTRY,), LIVE[:1], "futures") == Withdraw(LIVE[:1])
    assert step((ENTRY,), ()) == Place((ENTRY,))


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_behind_a_doubt_nothing_is_placed_in_its_lane_and_no_stop_is_taken_away(market: str) -> None:
    assert step((EXIT,), LIVE, market, busy_lanes={"exit"}) is None
    assert step((STOP, TARGET), (), market, busy_lanes={"exit"}) is None
    assert step((ENTRY,), (), market, busy_lanes={"entry"}) is None
    assert step((STOP,), (), market, busy_lanes={"entry"}) == Place((STOP,))
    doubtful = tuple(as_live(wish, in_doubt=True, lots=5) for wish in (STOP, TARGET))
    assert step((STOP, TARGET), doubtful, market, busy_lanes={"exit"}) is None


@given(
    wanted=st.lists(st.sampled_from([STOP, TARGET, EXIT, ENTRY]), unique=True, max_size=3),
    existing=st.lists(
        st.tuples(st.sampled_from([STOP, TARGET]), st.integers(1, 2), st.integers(999, 1000)),
        unique_by=lambda one: one[0].purpose,
    ),
    market=st.sampled_from(["spot", "futures"]),
)
def test_carried_out_step_by_step_a_plan_ends_where_it_was_wished(wanted, existing, market) -> None:
    live = [as_live(wish, request_id=number, lots=lots) for wish, number, lots in existing]
    for _ in range(8):
        found = next_step(wanted, live, market=market)
        if found is None:
            break
        if isinstance(found, Withdraw):
            live = [order for order in live if order not in found.orders]
        else:
            live += [as_live(wish, request_id=9) for wish in found.wishes]
    assert next_step(wanted, live, market=market) is None
    assert {(order.purpose, order.lots) for order in live} == {(wish.purpose, wish.lots) for wish in wanted}
