"""Symbols and feed through the real exchange client, against a real paper exchange with a stepped clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from marketdata import candles, prices, symbols
from marketdata.feed import Feed
from marketdata.series import Series
from tests.support.paper import start_paper
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import source_for
from tradebot.clock import now, step_to, to_ms

# A stepped clock of the exchange only goes forward, from the wall time it started at.
START = datetime(2036, 4, 1, 12, 0, 0, 500_000, tzinfo=UTC)
INTERVALS = ("1m", "5m", "1h", "1d")


@pytest.fixture
def paper(tmp_path, settings):
    exchange = start_paper(tmp_path, clock="stepped")
    settings.PAPER_SPOT_URL = exchange.url
    settings.CLOCK = "stepped"
    symbols.forget_parsed()
    yield exchange
    exchange.stop()


def step(exchange, moment: datetime) -> datetime:
    """Set both clocks."""
    exchange.control("/paper/clock", {"now_ms": to_ms(moment)})
    step_to(moment)
    return moment


def test_symbols_history_new_candles_and_prices_of_a_paper_exchange(paper):
    step(paper, START)
    source = source_for("paper", "spot")
    assert symbols.refresh(source).ok
    offered = [rules.symbol for rules in symbols.cached(source).trading]
    assert offered[:3] == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]

    slots: list[datetime] = []
    wanted = [Series(source, "BTCUSDT", interval, 300) for interval in INTERVALS]
    wanted.append(Series(source, "ETHUSDT", "1m", 1100))
    feed = Feed(lambda: wanted, slots.append, lambda one: ExchangeClient(one), now)
    feed.refresh_series()
    assert feed.warm_up(now()) == wanted
    assert candles.counts(wanted) == {series: series.candles for series in wanted}
    for series, held in candles.load_many(wanted).items():
        assert held.clean_since == 0
        assert set(np.diff(held.open_time_ms)) == {held.interval_ms}
        assert held.open_time_ms[-1] + held.interval_ms <= to_ms(START), series

    feed.poll_closed(step(paper, START + timedelta(seconds=59)))
    assert slots == []
    new = feed.poll_closed(step(paper, START + timedelta(seconds=60)))
    assert [(series.symbol, series.interval) for series in new] == [("BTCUSDT", "1m"), ("ETHUSDT", "1m")]
    assert slots == [datetime(2036, 4, 1, 12, 1, tzinfo=UTC)]
    (row, *_) = paper.public(
        "/api/v3/klines", symbol="ETHUSDT", interval="1m", startTime=to_ms(START) - 500
    ).json()
    held = candles.load(source, "ETHUSDT", "1m")
    columns = (held.open_time_ms, held.open, held.high, held.low, held.close, held.volume)
    assert [column[-1] for column in columns] == [row[0], *map(float, row[1:6])]

    assert feed.poll_prices(now()) == 2
    price = prices.load_many(source, ["BTCUSDT"])["BTCUSDT"]
    shown = paper.public("/api/v3/ticker/price", symbol="BTCUSDT").json()["price"]
    assert (price.price, price.at) == (float(shown), now())
    feed.close()


def test_a_paper_exchange_that_died_leaves_what_is_known(paper):
    step(paper, START)
    source = source_for("paper", "spot")
    assert symbols.refresh(source).ok
    bitcoin = Series(source, "BTCUSDT", "1m", 100)
    feed = Feed(lambda: [bitcoin], lambda slot: None, lambda one: ExchangeClient(one), now)
    feed.refresh_series()
    feed.warm_up(now())
    paper.stop()
    later = START + timedelta(minutes=1)
    step_to(later)
    assert feed.poll_closed(later) == []
    assert not symbols.refresh(source).ok
    assert symbols.cached(source).by_symbol["BTCUSDT"].is_trading
    assert len(candles.load(source, "BTCUSDT", "1m")) == 100
    feed.close()
