"""decide() in position: when it leaves, how much, and that no pause, limit or missing price is in the way."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.types import Price
from tests.core.builders import CLOSE, MINUTE, NOW, at_price, bot, market, position, rules, signal
from trading.decide import decide
from trading.types import Decision, MarketView, Protection, StateView, Wish

TODAY = date(2026, 4, 1)
STOP_2 = Protection(stop_loss_perc=2.0, take_profit_perc=10.0)
SHORT = bot(market="futures", position_type="short")


def left(reason: str, price: float | None, *, side: str = "SELL", lots: int = 1000) -> Decision:
    wish = Wish("EXIT", 0, side, "MARKET", lots, reason, price=price)
    return Decision("exiting", (reason,), (wish,), exit_wanted=reason)


def test_it_holds_and_says_where_it_stands() -> None:
    view = at_price(101.2, rules=rules(order_types=()))
    decision = decide(bot(), position(protection=STOP_2), view, NOW)
    assert decision == Decision(
        "in position",
        (
            "holding: price 101.2, stop 98 (-3.2 %), target 110",
            "BTCUSDT takes no stop order: it is watched at each look",
            "BTCUSDT takes no target order: it is watched at each look",
        ),
    )
    assert (decision.wishes, decision.has_news) == ((), False)


def test_without_protection_it_just_holds() -> None:
    assert decide(bot(), position(), at_price(101.2), NOW).reasons == ("holding: price 101.2",)


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        (98.01, None),
        (98.0, "stop-loss: price 98 is at or below 98"),
        (50.0, "stop-loss: price 50 is at or below 98"),
        (109.99, None),
        (110.0, "target: price 110 is at or above 110"),
    ],
)
def test_a_long_leaves_at_its_stop_and_at_its_target(price: float, reason: str | None) -> None:
    decision = decide(bot(), position(protection=STOP_2), at_price(price), NOW)
    if reason is None:
        assert (decision.status, decision.wishes) == ("in position", ())
    else:
        assert decision == left(reason, price)


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        (101.99, None),
        (102.0, "stop-loss: price 102 is at or above 102"),
        (90.01, None),
        (90.0, "target: price 90 is at or below 90"),
    ],
)
def test_a_short_is_the_mirror(price: float, reason: str | None) -> None:
    decision = decide(SHORT, position(protection=STOP_2), at_price(price), NOW)
    if reason is None:
        assert decision.status == "in position"
        assert [wish.purpose for wish in decision.wishes] == ["STOP", "TARGET"]
    else:
        assert decision == left(reason, price, side="BUY")


def test_the_pinned_protection_counts_and_the_bots_only_without_one() -> None:
    tight = bot(protection=Protection(stop_loss_perc=1.0))
    assert decide(tight, position(protection=STOP_2), at_price(98.5), NOW).status == "in position"
    assert decide(tight, position(protection=Protection()), at_price(50.0), NOW).status == "in position"
    assert decide(tight, position(protection=None), at_price(98.5), NOW).status == "exiting"


def test_the_trailing_stop_is_an_exit() -> None:
    trailing = position(trailing_stop_price=104.0, protection=STOP_2)
    assert decide(bot(), trailing, at_price(104.0), NOW) == left(
        "trailing stop: price 104 is at or below 104", 104.0
    )
    holding = decide(bot(), trailing, at_price(105.0), NOW)
    assert holding.reasons[0] == (
        "holding: price 105, stop 98 (-6.7 %), trailing stop 104 (-1.0 %), target 110"
    )


@pytest.mark.parametrize(
    ("config", "flag"),
    [(bot(), "exit_long"), (SHORT, "exit_short")],
)
def test_an_exit_signal_leaves(config, flag: str) -> None:
    view = at_price(101.0, signal=signal(texts=("crossed below",), **{flag: True}))
    side = "SELL" if config.position_type == "long" else "BUY"
    assert decide(config, position(), view, NOW) == left("exit signal: crossed below", 101.0, side=side)


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        ({}, {"as_of": CLOSE - MINUTE}),  # stale
        ({}, {"ready": False}),
        ({"entry_signal_time": CLOSE}, {}),  # the signal that it was opened with
        ({}, {"exit_long": False, "exit_short": True}),
    ],
)
def test_an_exit_signal_that_does_not_count_is_left_alone(
    state: dict[str, object], changes: dict[str, object]
) -> None:
    view = at_price(101.0, signal=signal(**{"exit_long": True} | changes))
    decision = decide(bot(), position(**state), view, NOW)
    assert (decision.status, decision.wishes) == ("in position", ())


def test_an_exit_once_wanted_stays_wanted_with_its_reason() -> None:
    state = position(exit_wanted="closed by hand", protection=STOP_2)
    assert decide(bot(), state, at_price(101.0), NOW) == left("closed by hand", 101.0)
    both = decide(bot(), state, at_price(97.0), NOW)
    assert both.exit_wanted == "closed by hand"
    assert both.reasons == ("closed by hand", "stop-loss: price 97 is at or below 98")


@pytest.mark.parametrize(
    ("config", "state"),
    [
        ({"is_active": False}, {}),
        ({}, {"hold": "drift"}),
        ({}, {"hold": "doubt"}),
        ({"max_daily_trades": 1}, {"trading_day": TODAY, "daily_trades_count": 1}),
        ({"max_daily_loss_perc": 1.0}, {"trading_day": TODAY, "daily_pnl": -500.0}),
        ({}, {"entry_in_doubt": True}),
        ({"cooldown_minutes": 60}, {"last_exit_at": NOW}),
    ],
)
def test_no_pause_and_no_limit_stops_an_exit(config: dict[str, object], state: dict[str, object]) -> None:
    decision = decide(bot(**config), position(protection=STOP_2, **state), at_price(97.0), NOW)
    assert dataclasses.replace(decision, daily_limit=None) == left(
        "stop-loss: price 97 is at or below 98", 97.0
    )


def test_exits_go_on_where_entries_are_stopped_and_the_symbol_is_halted_or_unknown() -> None:
    for changes in ({"entries_allowed": False}, {"rules": rules(status="HALT")}, {"rules": None}):
        view = at_price(97.0, **changes)
        assert decide(bot(), position(protection=STOP_2), view, NOW).wishes[0].lots == 1000


def test_a_paused_bot_in_position_says_so() -> None:
    decision = decide(bot(is_active=False), position(), at_price(101.0), NOW)
    assert decision.reasons == (
        "holding: price 101",
        "no new entries, exits go on: paused by its owner",
    )


def without_price(**changes: object) -> list[MarketView]:
    old = Price(50.0, NOW - timedelta(seconds=91))
    return [
        market(price=price, **changes) for price in (None, old, Price(float("nan"), NOW), Price(-1.0, NOW))
    ]


def test_without_a_usable_price_there_is_no_exit_by_price() -> None:
    state = position(protection=STOP_2, trailing_stop_price=99.0)
    for view in without_price(signal=signal()):
        decision = decide(bot(), state, view, NOW)
        assert (decision.status, decision.wishes) == ("in position", ())
        assert decision.reasons[0] == "holding: stop 98, trailing stop 99, target 110"
        assert decision.reasons[1].startswith("no exit by price: ")


def test_without_a_usable_price_what_is_wanted_or_signalled_goes_on() -> None:
    for view in without_price(signal=signal(exit_long=True)):
        assert decide(bot(), position(), view, NOW) == left("exit signal: ema_rsi", None)
        wanted = decide(bot(), position(exit_wanted="stopped"), view, NOW)
        assert (wanted.exit_wanted, wanted.wishes[0].price) == ("stopped", None)


@pytest.mark.parametrize(
    ("config", "pnl", "price", "reason"),
    [
        ({"max_daily_loss_perc": 5.0}, -20.0, 70.0, "daily loss: -50 today, the limit is -50"),
        ({"max_daily_loss_perc": 5.0}, -20.0, 70.01, None),
        ({"max_daily_loss_perc": 5.0}, -50.0, 100.0, "daily loss: -50 today, the limit is -50"),
        ({"daily_target_perc": 5.0}, 20.0, 130.0, "daily target: 50 today, the target is 50"),
        ({"daily_target_perc": 5.0}, 20.0, 129.99, None),
    ],
)
def test_a_daily_limit_closes_only_where_the_bot_says_so(
    config: dict[str, object], pnl: float, price: float, reason: str | None
) -> None:
    state = position(trading_day=TODAY, daily_pnl=pnl)
    staying = decide(bot(**config), state, at_price(price), NOW)
    assert (staying.status, staying.wishes) == ("in position", ())
    closing = decide(bot(close_on_daily_limit=True, **config), state, at_price(price), NOW)
    limit = reason and ("loss" if "loss" in reason else "target")
    assert (staying.daily_limit, closing.daily_limit) == (limit, limit)
    if reason:
        assert dataclasses.replace(closing, daily_limit=None) == left(reason, price)
    else:
        assert closing.status == "in position"


def test_a_shorts_unrealised_pnl_is_mirrored() -> None:
    config = dataclasses.replace(SHORT, max_daily_loss_perc=5.0, close_on_daily_limit=True)
    assert decide(config, position(), at_price(150.0), NOW).status == "exiting"
    assert decide(config, position(), at_price(50.0), NOW).status == "in position"


def test_without_price_or_rules_the_daily_limit_counts_what_is_realised() -> None:
    config = bot(max_daily_loss_perc=5.0, close_on_daily_limit=True)
    state = position(trading_day=TODAY, daily_pnl=-20.0)
    for view in (*without_price(signal=signal()), at_price(1.0, rules=None)):
        assert decide(config, state, view, NOW).status == "in position"


def test_an_exit_in_doubt_is_not_wished_again() -> None:
    state = position(exit_in_doubt=True, exit_wanted="stopped")
    assert decide(bot(), state, at_price(97.0), NOW) == Decision(
        "exiting", ("an exit is in doubt; its outcome is being asked for", "stopped")
    )


def test_an_exit_is_capped_by_the_largest_order() -> None:
    state = position(exit_wanted="stopped")
    assert decide(bot(), state, at_price(100.0, rules=rules(max_quantity=Decimal("0.4"))), NOW) == left(
        "stopped", 100.0, lots=400
    )


@pytest.mark.parametrize(
    ("lots", "symbol", "sentence"),
    [
        (49, {}, "worth 4.9 USDT is below the smallest allowed, 5"),
        (1, {"min_quantity": Decimal("0.002")}, "quantity 0.001 BTC is below the smallest allowed, 0.002"),
    ],
)
def test_dust_is_written_off_instead_of_wished(lots: int, symbol: dict[str, object], sentence: str) -> None:
    state = position(position_lots=lots, exit_wanted="stopped")
    assert decide(bot(), state, at_price(100.0, rules=rules(**symbol)), NOW) == Decision(
        "in position", (f"dust, too small for an order: {sentence}", "stopped"), is_dust=True
    )


def test_a_small_rest_is_sold_where_no_minimum_applies_or_its_worth_is_unknown() -> None:
    state = position(position_lots=49, exit_wanted="stopped")
    for view in (
        at_price(100.0, rules=rules(min_notional_applies_to_market=False)),
        market(price=None, signal=None),
    ):
        assert decide(bot(), state, view, NOW).wishes[0].lots == 49
    assert decide(SHORT, state, at_price(100.0), NOW).wishes[0].lots == 49  # reduce-only


def test_no_entry_is_wished_in_position_nor_behind_an_exit() -> None:
    assert decide(bot(), position(), market(), NOW).wishes == ()
    assert decide(bot(), StateView(exit_wanted="stopped"), market(), NOW).wishes == ()


TRAIL = Protection(trailing_stop_perc=1.0, trailing_activation_perc=2.0, trailing_step_perc=0.1)


def moved(close: float, config=None, protection: Protection = TRAIL, **state: object) -> float | None:
    view = at_price(close, signal=signal(close=close))
    return decide(config or bot(), position(protection=protection, **state), view, NOW).trailing_stop_price


@pytest.mark.parametrize(
    ("close", "present", "expected"),
    [
        (101.9, None, None),  # not yet active
        (102.0, None, 102.0 * 99 / 100),
        (104.0, 100.98, 104.0 * 99 / 100),
        (102.0, 100.98, None),  # the same candle
        (102.1, 100.98, None),  # 101.079 is better by less than 0.1 % of itself
        (102.11, 100.98, 102.11 * 99 / 100),
        (101.0, 100.98, None),  # never back
        (float("nan"), None, None),
        (float("inf"), None, None),
        (-1.0, None, None),
    ],
)
def test_the_trailing_stop_of_a_long(close: float, present: float | None, expected: float | None) -> None:
    assert moved(close, trailing_stop_price=present) == expected


@pytest.mark.parametrize(
    ("close", "present", "expected"),
    [
        (98.1, None, None),
        (98.0, None, 98.0 * 101 / 100),
        (96.0, 98.98, 96.0 * 101 / 100),
        (97.95, 98.98, None),
        (99.0, 98.98, None),
    ],
)
def test_the_trailing_stop_of_a_short(close: float, present: float | None, expected: float | None) -> None:
    assert moved(close, SHORT, trailing_stop_price=present) == expected


@pytest.mark.parametrize(("present", "expected"), [(98.9, 100.0), (99.0, 100.0), (99.1, None)])
def test_a_trailing_step_is_a_part_of_the_new_stop(present: float, expected: float | None) -> None:
    half = Protection(trailing_stop_perc=50.0, trailing_step_perc=1.0)
    assert moved(200.0, protection=half, trailing_stop_price=present) == expected


@pytest.mark.parametrize("close", [0.0, -1.0, float("nan"), float("inf")])
def test_a_close_that_is_no_price_never_trails(close: float) -> None:
    assert moved(close, protection=Protection(trailing_stop_perc=1.0)) is None


def test_a_moved_trailing_stop_is_an_act_and_once_stored_it_is_none() -> None:
    view = at_price(105.0, signal=signal(close=105.0))
    state = position(protection=TRAIL)
    first = decide(bot(), state, view, NOW)
    assert (first.has_news, first.wishes) == (True, ())
    again = decide(
        bot(), dataclasses.replace(state, trailing_stop_price=first.trailing_stop_price), view, NOW
    )
    assert again.has_news is False


@pytest.mark.parametrize("step", [0.0, 0.1])
def test_an_equal_trailing_stop_never_moves(step: float) -> None:
    protection = dataclasses.replace(TRAIL, trailing_step_perc=step)
    assert moved(105.0, protection=protection, trailing_stop_price=105.0 * 99 / 100) is None


def test_trailing_without_activation_starts_at_once_and_without_trailing_never() -> None:
    assert moved(99.0, protection=Protection(trailing_stop_perc=1.0)) == 99.0 * 99 / 100
    assert moved(150.0, protection=STOP_2) is None


@pytest.mark.parametrize("entry", [{"entry_time": CLOSE}, {"entry_time": NOW}, {"entry_time": None}])
def test_only_candles_that_closed_after_the_entry_trail(entry: dict[str, object]) -> None:
    assert moved(150.0, **entry) is None


def test_a_price_that_fell_through_the_new_trailing_stop_leaves_in_the_same_look() -> None:
    view = at_price(100.5, signal=signal(close=105.0))
    decision = decide(bot(), position(protection=TRAIL), view, NOW)
    assert decision.trailing_stop_price == 105.0 * 99 / 100
    assert decision.exit_wanted == "trailing stop: price 100.5 is at or below 103.95"


def test_a_position_without_an_entry_price_is_still_left_when_wanted() -> None:
    state = position(entry_price=None, protection=STOP_2)
    assert decide(bot(), state, at_price(50.0), NOW).status == "in position"
    wanted = dataclasses.replace(state, exit_wanted="stopped")
    assert decide(bot(), wanted, at_price(50.0), NOW).wishes[0].lots == 1000


PERCENT = st.none() | st.floats(0.1, 99.0)


@given(
    price=st.floats(allow_nan=True, allow_infinity=True),
    close=st.floats(allow_nan=True, allow_infinity=True),
    lots=st.integers(0, 10**9),
    stop=PERCENT,
    target=PERCENT,
    trailing=PERCENT,
    age=st.integers(-200, 200),
    is_long=st.booleans(),
    flags=st.tuples(*[st.booleans()] * 6),
)
def test_whatever_the_market_says_a_decision_is_sound(
    price: float,
    close: float,
    lots: int,
    stop: float | None,
    target: float | None,
    trailing: float | None,
    age: int,
    is_long: bool,
    flags: tuple[bool, ...],
) -> None:
    config = bot(market="futures", position_type="long" if is_long else "short", is_active=flags[0])
    protection = Protection(stop, target, trailing)
    state = position(position_lots=lots, protection=protection, exit_in_doubt=flags[1])
    says = signal(
        close=close, enter_long=flags[2], exit_long=flags[3], enter_short=flags[4], exit_short=flags[5]
    )
    view = market(signal=says, price=Price(price, NOW - timedelta(seconds=age)))
    decision = decide(config, state, view, NOW)
    assert decision.reasons
    purposes = [wish.purpose for wish in decision.wishes]
    assert purposes in ([], ["EXIT"], ["STOP"], ["TARGET"], ["STOP", "TARGET"]) if lots else ([], ["ENTRY"])
    for wish in decision.wishes:
        assert wish.side == ("BUY" if is_long == (wish.purpose == "ENTRY") else "SELL")
        assert wish.lots > 0
        assert wish.purpose == "ENTRY" or wish.lots <= lots
        assert (decision.exit_wanted is not None) == (wish.purpose == "EXIT")
        assert wish.purpose in ("ENTRY", "EXIT") or wish.stop_price > 0
    assert decide(config, state, view, NOW) == decision


def test_a_daily_limit_reached_with_unrealised_loss_is_remembered_until_the_next_day():
    limited = bot(max_daily_loss_perc=1.0)
    held = position(trading_day=TODAY)
    deep = decide(limited, held, at_price(90.0), NOW)
    assert (deep.daily_limit, deep.has_news, deep.wishes) == ("loss", True, ())
    known = position(trading_day=TODAY, daily_limit="loss")
    assert decide(limited, known, at_price(90.0), NOW).has_news is False
    flat = decide(limited, StateView(trading_day=TODAY, daily_limit="loss"), market(), NOW)
    assert (flat.status, flat.wishes) == ("paused (daily loss)", ())
    assert flat.reasons[0] == "not buying: daily loss: the limit of -10 was reached today"
    tomorrow = StateView(trading_day=TODAY - timedelta(days=1), daily_limit="loss")
    assert decide(limited, tomorrow, market(), NOW).status == "entering"


def test_a_daily_target_reached_with_unrealised_profit_closes_where_the_bot_says_so():
    limited = bot(daily_target_perc=1.0, close_on_daily_limit=True)
    found = decide(limited, position(trading_day=TODAY), at_price(110.0), NOW)
    assert found.daily_limit == "target"
    assert found.exit_wanted == "daily target: 10 today, the target is 10"
