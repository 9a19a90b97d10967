"""decide() without a position: one entry when nothing forbids it, and every reason when something does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from marketdata.types import Price
from tests.core.builders import CLOSE, MINUTE, NOW, bot, market, rules, signal
from trading.decide import decide
from trading.types import BotView, Decision, MarketView, Protection, StateView, Wish

TODAY = date(2026, 4, 1)


def buys(
    config: BotView | None = None, state: StateView | None = None, view: MarketView | None = None
) -> Decision:
    return decide(config or bot(), state or StateView(), view or market(), NOW)


def assert_held(decision: Decision, *reasons: str, status: str = "waiting") -> None:
    assert decision == Decision(status, tuple(f"not buying: {reason}" for reason in reasons))
    assert (decision.wishes, decision.has_news) == ((), False)


def test_a_signal_that_nothing_forbids_is_an_entry() -> None:
    assert buys() == Decision(
        "entering",
        ("buying: the averages crossed",),
        (
            Wish(
                "ENTRY",
                0,
                "BUY",
                "MARKET",
                1000,
                "the averages crossed",
                price=100.0,
                signal_time=CLOSE,
            ),
        ),
    )
    assert len(buys().wishes) == 1


def test_a_futures_short_is_the_mirror() -> None:
    short = bot(market="futures", position_type="short", leverage=2)
    decision = buys(short, view=market(signal=signal(enter_short=True, texts=("down",))))
    assert decision.reasons == ("selling short: down",)
    assert [(wish.purpose, wish.side, wish.lots) for wish in decision.wishes] == [("ENTRY", "SELL", 2000)]
    held = buys(short)
    assert held == Decision("waiting", ("not selling short: the averages crossed",))


def test_a_signal_that_says_nothing_holds_with_its_words() -> None:
    assert_held(buys(view=market(signal=signal(texts=("RSI 71.2 is above 70",)))), "RSI 71.2 is above 70")
    assert_held(buys(view=market(signal=signal())), "no entry signal")
    assert_held(buys(view=market(signal=signal(enter_short=True))), "no entry signal")


@pytest.mark.parametrize(
    ("config", "state", "view", "status", "reason"),
    [
        ({}, {"hold": "key"}, {}, "paused (key)", "paused (key)"),
        ({}, {"hold": "exchange"}, {}, "paused (exchange)", "paused (exchange)"),
        ({"is_active": False}, {}, {}, "paused", "paused by its owner"),
        (
            {"max_daily_trades": 3},
            {"trading_day": TODAY, "daily_trades_count": 3},
            {},
            "paused (daily trades)",
            "3 trades today, 3 allowed",
        ),
        (
            {"max_daily_trades": 0},
            {},
            {},
            "paused (daily trades)",
            "0 trades today, 0 allowed",
        ),
        (
            {"max_daily_loss_perc": 5.0},
            {"trading_day": TODAY, "daily_pnl": -50.0},
            {},
            "paused (daily loss)",
            "daily loss: -50 today, the limit is -50",
        ),
        (
            {"daily_target_perc": 5.0},
            {"trading_day": TODAY, "daily_pnl": 50.0},
            {},
            "paused (daily target)",
            "daily target: 50 today, the target is 50",
        ),
        (
            {},
            {"entry_in_doubt": True},
            {},
            "entering",
            "an earlier entry is in doubt; its outcome is being asked for",
        ),
        (
            {},
            {},
            {"rules": rules(status="HALT")},
            "paused (symbol)",
            "BTCUSDT does not trade now (HALT)",
        ),
        ({}, {}, {"rules": None}, "waiting", "no trading rules of BTCUSDT known"),
        (
            {},
            {"exit_wanted": "closed by hand"},
            {},
            "waiting",
            "a position is still being closed: closed by hand",
        ),
        (
            {"position_type": "short"},
            {},
            {"signal": signal(enter_short=True)},
            "waiting",
            "spot can't be sold short",
        ),
        ({}, {}, {"entries_allowed": False}, "waiting", "entries are stopped for now"),
        (
            {},
            {},
            {"entries_allowed": False, "entries_note": "request weight at 83 %"},
            "waiting",
            "request weight at 83 %",
        ),
        (
            {"cooldown_minutes": 5},
            {"last_exit_at": NOW - 4 * MINUTE},
            {},
            "waiting",
            "cooling down until 2026-04-01 12:02 UTC, 5 min after the last exit",
        ),
        ({}, {}, {"price": None}, "waiting", "no price known"),
        (
            {},
            {},
            {"price": Price(100.0, NOW - timedelta(seconds=91))},
            "waiting",
            "the price is 91 s old, more than 90 s",
        ),
        ({}, {}, {"price": Price(100.0, NOW + timedelta(seconds=91))}, "waiting", "the price is -91 s old"),
        ({}, {}, {"price": Price(float("nan"), NOW)}, "waiting", "the price nan is not a positive number"),
        ({}, {}, {"price": Price(float("inf"), NOW)}, "waiting", "the price inf is not a positive number"),
        ({}, {}, {"price": Price(-1.0, NOW)}, "waiting", "the price -1.0 is not a positive number"),
        ({}, {}, {"price": Price(0.0, NOW)}, "waiting", "the price 0.0 is not a positive number"),
        ({}, {}, {"signal": None}, "waiting", "no signal yet"),
        (
            {},
            {},
            {"signal": signal(enter_long=True, as_of=CLOSE - MINUTE)},
            "waiting",
            "the signal of 2026-04-01 12:00 UTC is stale, a candle closed at 2026-04-01 12:01 UTC",
        ),
        (
            {},
            {},
            {"signal": signal(enter_long=True, as_of=CLOSE + MINUTE)},
            "waiting",
            "the signal of 2026-04-01 12:02 UTC is from the future",
        ),
        (
            {},
            {},
            {"signal": signal(ready=False, texts=("600 of 701 candles",))},
            "waiting",
            "warming up: 600 of 701 candles",
        ),
        (
            {},
            {"last_signal_time": CLOSE},
            {},
            "waiting",
            "the signal of 2026-04-01 12:01 UTC was already used",
        ),
        (
            {"initial_capital": 40.0},
            {},
            {},
            "waiting",
            "worth 4 USDT is below the smallest allowed, 5",
        ),
        ({"risk_per_trade_perc": 1.0}, {}, {}, "waiting", "risk per trade needs a stop-loss"),
    ],
)
def test_each_veto_alone_holds_with_its_status_and_reason(
    config: dict[str, object],
    state: dict[str, object],
    view: dict[str, object],
    status: str,
    reason: str,
) -> None:
    decision = decide(bot(**config), StateView(**state), market(**view), NOW)
    assert (decision.status, decision.wishes, decision.has_news) == (status, (), False)
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith(("not buying: ", "not selling short: "))
    assert reason in decision.reasons[0]


def test_all_vetoes_are_told_in_order() -> None:
    decision = decide(
        bot(is_active=False, cooldown_minutes=60, initial_capital=10.0),
        StateView(last_exit_at=NOW - MINUTE, last_signal_time=CLOSE),
        market(entries_allowed=False, signal=signal(texts=("RSI 71.2 is above 70",))),
        NOW,
    )
    assert_held(
        decision,
        "paused by its owner",
        "entries are stopped for now",
        "cooling down until 2026-04-01 13:00 UTC, 60 min after the last exit",
        "the signal of 2026-04-01 12:01 UTC was already used",
        "RSI 71.2 is above 70",
        "worth 1 USDT is below the smallest allowed, 5",
        status="paused",
    )


def test_the_status_goes_by_priority() -> None:
    full = {
        "max_daily_trades": 1,
        "max_daily_loss_perc": 1.0,
        "daily_target_perc": -2.0,
        "is_active": False,
    }
    state = {
        "hold": "drift",
        "trading_day": TODAY,
        "daily_trades_count": 1,
        "daily_pnl": -10.0,
        "entry_in_doubt": True,
    }
    halted = market(rules=rules(status="BREAK"))
    seen = []
    for lift in (
        {},
        {"hold": None},
        {"is_active": True},
        {"max_daily_trades": None},
        {"max_daily_loss_perc": None},
        {"daily_target_perc": None},
        {"entry_in_doubt": False},
    ):
        full |= {name: value for name, value in lift.items() if name in full}
        state |= {name: value for name, value in lift.items() if name in state}
        seen.append(decide(bot(**full), StateView(**state), halted, NOW).status)
    assert seen == [
        "paused (drift)",
        "paused",
        "paused (daily trades)",
        "paused (daily loss)",
        "paused (daily target)",
        "entering",
        "paused (symbol)",
    ]


@pytest.mark.parametrize("day", [None, date(2026, 3, 31), date(2026, 4, 2)])
def test_counters_of_another_utc_day_read_as_zero(day: date | None) -> None:
    config = bot(max_daily_trades=1, max_daily_loss_perc=1.0, daily_target_perc=1.0)
    state = StateView(trading_day=day, daily_trades_count=9, daily_pnl=-900.0)
    assert buys(config, state).status == "entering"


def test_the_day_is_utc_whatever_the_zone_of_now() -> None:
    # 2026-04-02 01:30 in Auckland is still 12:30 of 1 April in UTC
    now = datetime.fromisoformat("2026-04-02T01:01:00+13:00")
    config = bot(max_daily_trades=1)
    state = StateView(trading_day=TODAY, daily_trades_count=1)
    assert decide(config, state, market(), now).status == "paused (daily trades)"


@pytest.mark.parametrize(
    ("config", "state"),
    [
        ({"max_daily_trades": 3}, {"daily_trades_count": 2}),
        ({"max_daily_loss_perc": 5.0}, {"daily_pnl": -49.99}),
        ({"daily_target_perc": 5.0}, {"daily_pnl": 49.99}),
        ({"cooldown_minutes": 5}, {"last_exit_at": NOW - 5 * MINUTE}),
        ({"cooldown_minutes": 0}, {"last_exit_at": NOW}),
        ({}, {"last_signal_time": CLOSE - MINUTE}),
    ],
)
def test_just_within_a_limit_it_buys(config: dict[str, object], state: dict[str, object]) -> None:
    assert buys(bot(**config), StateView(trading_day=TODAY, **state)).status == "entering"


def test_a_price_of_exactly_90_seconds_is_fresh() -> None:
    assert buys(view=market(price=Price(100.0, NOW - timedelta(seconds=90)))).status == "entering"


@pytest.mark.parametrize(
    ("interval", "as_of", "fresh"),
    [
        ("1m", CLOSE, True),
        ("5m", CLOSE - MINUTE, True),
        ("5m", CLOSE - 6 * MINUTE, False),
        ("1d", datetime(2026, 4, 1, tzinfo=UTC), True),
        ("1d", datetime(2026, 3, 31, tzinfo=UTC), False),
        ("3d", datetime(2026, 3, 30, tzinfo=UTC), True),
        ("3d", datetime(2026, 3, 29, tzinfo=UTC), False),
        ("1w", datetime(2026, 3, 30, tzinfo=UTC), True),
        ("1M", datetime(2026, 4, 1, tzinfo=UTC), True),
        ("1M", datetime(2026, 3, 1, tzinfo=UTC), False),
    ],
)
def test_a_signal_is_stale_once_the_next_candle_has_closed(
    interval: str, as_of: datetime, fresh: bool
) -> None:
    decision = buys(bot(interval=interval), view=market(signal=signal(enter_long=True, as_of=as_of)))
    assert (decision.status == "entering") is fresh


def test_a_signal_is_fresh_until_the_moment_of_the_next_close() -> None:
    fresh = market(price=Price(100.0, CLOSE))
    for seconds, status in ((0, "entering"), (59.999, "entering"), (60, "waiting")):
        assert decide(bot(), StateView(), fresh, CLOSE + timedelta(seconds=seconds)).status == status


def test_the_entry_is_capped_by_the_exchange() -> None:
    assert buys(view=market(rules=rules(max_quantity=Decimal("0.25")))).wishes[0].lots == 250


def test_pinned_protection_of_an_old_position_does_not_size_an_entry() -> None:
    config = bot(risk_per_trade_perc=1.0, protection=Protection(stop_loss_perc=20.0))
    state = StateView(protection=Protection(stop_loss_perc=50.0))
    assert buys(config, state).wishes[0].lots == 500
