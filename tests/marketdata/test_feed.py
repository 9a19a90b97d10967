"""The feed, step by step, and as a running thing."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
import redis
from django.db import OperationalError

from marketdata import candles, feed, prices, source_feed, symbols
from marketdata.candle_checks import CONFIRM_GAP
from marketdata.feed import BEAT_KEY, Feed
from marketdata.models import CandleHole
from marketdata.series import Series
from tests.marketdata.stub import LIVE, NOON, SPOT, StubExchange, row, rows_before, spot_symbol
from tests.support.waiting import wait_until
from tradebot.clock import to_ms
from tradebot.errors import RateLimited, Rejected, Transient
from tradebot.redis import redis_client

MINUTE = 60_000
END = to_ms(NOON)
SECOND = timedelta(seconds=1)
BTC = Series(SPOT, "BTCUSDT", "1m", candles=50)
ETH = Series(SPOT, "ETHUSDT", "1m", candles=50)
HOURLY = Series(SPOT, "BTCUSDT", "1h", candles=50)


class World:
    """A feed of one stub exchange, with the series in use and the slots that the screen was told."""

    def __init__(self, *series: Series) -> None:
        self.series = list(series)
        self.slots = []
        self.stub = StubExchange(now=NOON + SECOND / 2)
        for one in series:
            self.stub.klines_of[one.symbol, one.interval] = rows_before(NOON, 200, one.interval)
        self.feed = Feed(
            lambda: self.series, self.slots.append, lambda source: self.stub, lambda: self.stub.now
        )
        self.feed.refresh_series()

    def close_candle(self, series: Series, close: float = 110.0, **changes) -> None:
        """The exchange's next candle of a 1m series."""
        rows = self.stub.klines_of[series.symbol, series.interval]
        rows.append(row(rows[-1][0] + MINUTE, close, **changes))

    def at(self, seconds: float):
        """Set the time to so many seconds after noon, and give it."""
        self.stub.now = NOON + seconds * SECOND
        return self.stub.now

    def asked(self) -> int:
        """How many klines requests came since the last question."""
        count = len(self.stub.asked)
        self.stub.asked.clear()
        return count


@pytest.fixture(autouse=True)
def _nothing_parsed():
    symbols.forget_parsed()


@pytest.fixture
def world():
    made = World(BTC, ETH)
    made.feed.warm_up(made.stub.now)
    made.asked()
    yield made
    made.feed.close()


def last_open(series: Series) -> int:
    return int(candles.load_many([series])[series].open_time_ms[-1])


def test_the_history_is_fetched_once_and_kept():
    world = World(BTC, ETH)
    assert world.feed.warm_up(world.stub.now) == [BTC, ETH]
    assert world.asked() == 2
    assert candles.counts([BTC, ETH]) == {BTC: 50, ETH: 50}
    assert world.feed.warm_up(world.stub.now) == []
    assert world.feed.poll_closed(world.stub.now) == []
    assert world.asked() == 0
    assert world.slots == []


def test_the_largest_need_of_equal_series_counts():
    world = World(Series(SPOT, "BTCUSDT", "1m", 20), Series(SPOT, "BTCUSDT", "1m", 120), BTC)
    world.feed.warm_up(world.stub.now)
    assert candles.counts([BTC]) == {BTC: 120}
    assert world.asked() == 1


def test_each_closed_candle_is_asked_for_once_a_series_and_the_screen_told_once(world):
    world.close_candle(BTC, 111)
    world.close_candle(ETH, 112)
    assert world.feed.poll_closed(world.at(60.3)) == []  # too soon after the close
    assert world.asked() == 0
    assert world.feed.poll_closed(world.at(60.5)) == [BTC, ETH]
    assert world.asked() == 2
    assert world.slots == [NOON + timedelta(minutes=1)]
    loaded = candles.load_many([BTC, ETH])
    assert [loaded[s].close[-1] for s in (BTC, ETH)] == [111, 112]
    assert world.feed.poll_closed(world.at(61)) == []
    assert world.asked() == 0


def test_a_candle_that_comes_late_is_asked_for_again_with_growing_pauses_and_told_then(world):
    world.close_candle(BTC)
    world.feed.poll_closed(world.at(60.5))
    world.asked()
    questions = []
    for tenth in range(606, 1200):
        world.feed.poll_closed(world.at(tenth / 10))
        if world.asked():
            questions.append(tenth / 10)
    assert questions == [61.0, 62.0, 64.0, 68.0, 76.0, 92.0]  # with 60.5 five in 10 s


def test_a_late_candle_is_told_in_its_own_slot(world):
    world.close_candle(BTC)
    world.feed.poll_closed(world.at(60.5))
    world.close_candle(ETH)
    assert world.feed.poll_closed(world.at(61)) == [ETH]
    assert world.slots == [NOON + timedelta(minutes=1)] * 2


def test_after_an_outage_all_missed_candles_come_with_one_request(world):
    world.stub.error = Transient("down")
    for minute in range(1, 6):
        world.close_candle(BTC)
        world.close_candle(ETH)
        assert world.feed.poll_closed(world.at(minute * 60 + 0.5)) == []
    assert world.slots == []
    world.stub.error = None
    world.asked()
    assert world.feed.poll_closed(world.at(340)) == [BTC, ETH]
    assert world.asked() == 2
    assert last_open(BTC) == END + 4 * MINUTE
    assert world.slots == [NOON + timedelta(minutes=5)]


def test_a_new_series_is_fetched_at_the_next_look(world):
    world.stub.klines_of["BTCUSDT", "1h"] = rows_before(NOON, 200, "1h")
    world.series.append(HOURLY)
    world.feed.refresh_series()
    assert world.feed.warm_up(world.at(5)) == [HOURLY]
    assert candles.counts([HOURLY]) == {HOURLY: 50}


def test_a_series_that_is_used_no_more_is_asked_for_no_more(world):
    world.series.remove(ETH)
    world.feed.refresh_series()
    world.close_candle(BTC)
    world.close_candle(ETH)
    assert world.feed.poll_closed(world.at(60.5)) == [BTC]
    assert world.asked() == 1


def test_a_grown_need_fetches_the_history_again(world):
    world.series.append(Series(SPOT, "BTCUSDT", "1m", candles=150))
    world.feed.refresh_series()
    assert world.feed.warm_up(world.at(5)) == [BTC]
    assert candles.counts([BTC]) == {BTC: 150}


def test_a_series_younger_than_its_need_is_not_fetched_over_and_over():
    world = World(BTC)
    world.stub.klines_of["BTCUSDT", "1m"] = rows_before(NOON, 20)
    assert world.feed.warm_up(world.at(1)) == [BTC]
    world.asked()
    assert world.feed.warm_up(world.at(100)) == []
    assert world.asked() == 0


def test_a_symbol_without_candles_or_that_is_refused_is_asked_for_ever_more_rarely():
    world = World(BTC)
    world.stub.klines_of.clear()
    for second in range(100):
        assert world.feed.warm_up(world.at(second)) == []
    assert world.asked() <= 9
    world.stub.error = Rejected("Invalid symbol.", code=-1121)
    for second in range(100, 200):
        assert world.feed.warm_up(world.at(second)) == []
    assert world.asked() <= 5


def test_what_redis_lost_is_fetched_again(world):
    redis_client().flushdb()
    assert world.feed.warm_up(world.at(5)) == [BTC, ETH]
    redis_client().set(BTC.key, b"poison")
    assert world.feed.warm_up(world.at(6)) == [BTC]


def test_a_poisoned_value_of_the_right_length_is_fetched_again_at_the_next_close(world):
    redis_client().set(BTC.key, b"x" * redis_client().strlen(BTC.key))
    world.close_candle(BTC)
    world.close_candle(ETH)
    assert world.feed.poll_closed(world.at(60.5)) == [BTC, ETH]
    assert candles.counts([BTC]) == {BTC: 50}
    assert last_open(BTC) == END


def test_a_restarted_feed_goes_on_from_redis(world):
    other = World(BTC, ETH)
    other.close_candle(BTC)
    other.close_candle(ETH)
    assert other.feed.warm_up(other.at(60.5)) == []
    assert other.feed.poll_closed(other.at(60.5)) == [BTC, ETH]
    assert candles.counts([BTC]) == {BTC: 51}


@pytest.mark.django_db
def test_a_hole_is_recorded_once_and_the_clean_part_begins_behind_it(world):
    world.stub.klines_of["BTCUSDT", "1m"].append(row(END + 2 * MINUTE, 105))  # 12:00 and 12:01 are missing
    assert world.feed.poll_closed(world.at(180.5)) == [BTC]
    held = candles.load_many([BTC])[BTC]
    assert (len(held), held.clean_since) == (51, 50)
    hole = CandleHole.objects.get()
    assert (hole.start, hole.end) == (NOON, NOON + timedelta(minutes=2))
    world.stub.klines_of["BTCUSDT", "1m"].append(row(END + 3 * MINUTE, 105))
    world.feed.poll_closed(world.at(240.5))
    assert CandleHole.objects.count() == 1
    assert candles.load_many([BTC])[BTC].clean_since == 50


def test_a_hole_that_the_database_did_not_take_keeps_the_candles_out(world, monkeypatch):
    def refuse(*_):
        raise OperationalError("down")

    monkeypatch.setattr(candles, "record_holes", refuse)
    world.stub.klines_of["BTCUSDT", "1m"].append(row(END + 2 * MINUTE, 105))
    with pytest.raises(OperationalError):
        world.feed.poll_closed(world.at(180.5))
    assert last_open(BTC) == END - MINUTE


def test_a_jump_leaves_the_series_stale_with_a_reason_until_it_was_repeated_twice(world):
    world.close_candle(BTC, 1_000_000)
    world.close_candle(ETH)
    assert world.feed.poll_closed(world.at(60.5)) == [ETH]
    assert last_open(BTC) == END - MINUTE
    assert "jumped from" in candles.rejections([BTC])[BTC].reason
    seconds = 60.5
    while last_open(BTC) != END:
        seconds += 1
        world.feed.poll_closed(world.at(seconds))
        assert seconds < 180
    assert seconds - 60.5 >= 2 * CONFIRM_GAP.total_seconds()


def test_broken_candles_never_arrive_and_the_reason_is_kept(world):
    world.close_candle(BTC, c="-5")
    world.close_candle(ETH, c="NaN")
    assert world.feed.poll_closed(world.at(60.5)) == []
    assert world.slots == []
    assert {s.symbol: r.open_time_ms for s, r in candles.rejections([BTC, ETH]).items()} == {
        "BTCUSDT": END,
        "ETHUSDT": END,
    }


@pytest.mark.parametrize(("seconds", "told"), [(3.0, 1), (0.0, 3)])
def test_hundreds_of_series_are_told_together_unless_they_take_long(monkeypatch, seconds, told):
    monkeypatch.setattr(source_feed, "TELL_SECONDS", seconds)
    world = World(*(Series(SPOT, f"S{n}USDT", "1m", 5) for n in range(250)))
    for _ in range(3):
        world.feed.warm_up(world.stub.now)
    assert world.asked() == 250
    for series in world.series:
        world.close_candle(series)
    assert len(world.feed.poll_closed(world.at(60.5))) == 250
    assert Counter(asked["symbol"] for asked in world.stub.asked).most_common(1)[0][1] == 1
    assert world.slots == [NOON + timedelta(minutes=1)] * told


def test_rate_limited_means_no_request_until_the_time_given(world):
    world.close_candle(BTC)
    world.close_candle(ETH)
    world.stub.error = RateLimited("wait", retry_after_seconds=30.0)
    world.feed.poll_closed(world.at(60.5))
    world.asked()
    world.stub.error = None
    world.feed.poll_closed(world.at(89))
    assert world.feed.poll_prices(world.at(89)) == 0
    assert (world.asked(), world.stub.price_requests) == (0, 0)
    assert world.feed.poll_closed(world.at(91)) == [BTC, ETH]


def test_all_prices_come_with_one_request_and_those_in_use_are_kept(world):
    world.stub.prices_now = {"BTCUSDT": "65000.5", "ETHUSDT": "bad", "OTHERUSDT": "1"}
    assert world.feed.poll_prices(world.at(3)) == 1
    assert world.stub.price_requests == 1
    held = prices.load_many(SPOT, ["BTCUSDT", "ETHUSDT", "OTHERUSDT"])
    assert {symbol: price.price for symbol, price in held.items()} == {"BTCUSDT": 65_000.5}
    assert held["BTCUSDT"].at == NOON + 3 * SECOND


def test_prices_of_an_exchange_that_is_down_grow_old(world):
    world.stub.prices_now = {"BTCUSDT": "100"}
    world.feed.poll_prices(world.at(3))
    world.stub.error = Transient("down")
    assert world.feed.poll_prices(world.at(6)) == 0
    assert prices.load_many(SPOT, ["BTCUSDT"])["BTCUSDT"].at == NOON + 3 * SECOND


def test_a_restarted_feed_doubts_a_price_that_jumped_meanwhile(world):
    prices.store(SPOT, {"BTCUSDT": 100.0}, NOON)
    world.stub.prices_now = {"BTCUSDT": "100000"}
    assert [world.feed.poll_prices(world.at(3 * n)) for n in (1, 2, 3)] == [0, 0, 1]


def test_missing_symbols_are_fetched_by_the_feed_once(world):
    world.stub.info = {"symbols": [spot_symbol()]}
    (source_feed,) = world.feed._sources.values()
    assert source_feed.look_after_symbols(world.at(1))
    assert symbols.rules_for(SPOT, "BTCUSDT").base == "BTC"
    assert not source_feed.look_after_symbols(world.at(40))
    assert symbols.counters(SPOT).ok == 1


def test_sources_have_series_of_their_own():
    live = Series(LIVE, "BTCUSDT", "1m", candles=10)
    world = World(BTC, live)
    assert set(world.feed.warm_up(world.stub.now)) == {BTC, live}
    assert candles.counts([BTC, live]) == {BTC: 50, live: 10}


def test_a_series_with_an_interval_that_does_not_exist_is_left_out_and_logged_once(world, caplog):
    world.series.append(Series(SPOT, "BTCUSDT", "7m"))
    assert world.feed.refresh_series() == (BTC, ETH)
    assert world.feed.refresh_series() == (BTC, ETH)
    assert caplog.text.count("leaves out BTCUSDT 7m") == 1


def run_in_thread(world: World, stop: threading.Event) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            world.feed.run_forever(stop)
        except BaseException as error:  # noqa: BLE001 -- the test looks at it
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, errors


@pytest.mark.django_db(transaction=True)
def test_a_running_feed_warms_up_polls_beats_survives_redis_errors_and_stops(monkeypatch):
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(feed, "TURN_SECONDS", 0.01)
    monkeypatch.setattr(feed, "AFTER_FAILURE_SECONDS", 0.01)
    world = World(BTC)
    world.stub.prices_now = {"BTCUSDT": "100"}
    failures = iter([redis.ConnectionError("down"), redis.TimeoutError("slow")])
    counts = candles.counts

    def failing(wanted):
        for error in failures:
            raise error
        return counts(wanted)

    monkeypatch.setattr(candles, "counts", failing)
    stop = threading.Event()
    thread, errors = run_in_thread(world, stop)
    try:
        wait_until(lambda: candles.load(SPOT, "BTCUSDT", "1m") is not None)
        wait_until(lambda: prices.load_many(SPOT, ["BTCUSDT"]))
        world.close_candle(BTC)
        world.at(60.5)
        wait_until(lambda: world.slots == [NOON + timedelta(minutes=1)])
        wait_until(lambda: int(redis_client().get(BEAT_KEY) or 0) == to_ms(world.stub.now))
    finally:
        stop.set()
        thread.join(timeout=15)
    assert not thread.is_alive()
    assert errors == []


@pytest.mark.django_db(transaction=True)
def test_an_error_that_does_not_pass_ends_the_feed(monkeypatch):
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.02)
    world = World(BTC)
    world.stub.error = ZeroDivisionError("a bug")
    thread, errors = run_in_thread(world, threading.Event())
    thread.join(timeout=15)
    assert not thread.is_alive()
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_source_that_hangs_stops_the_heartbeat(world):
    class Hung:
        idle_seconds = 500.0

        def join(self, timeout):
            pass

    assert world.feed.beat(NOON)
    assert redis_client().ttl(BEAT_KEY) in range(55, 61)
    world.feed._runners[SPOT] = Hung()
    assert not world.feed.beat(NOON + 60 * SECOND)
    assert redis_client().get(BEAT_KEY) == str(END).encode()
