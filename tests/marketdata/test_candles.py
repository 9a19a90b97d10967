"""Closed candles in Redis: many in one request, poison, holes and rejections."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from django.db import IntegrityError, transaction

from marketdata import candles
from marketdata.candle_checks import Gap, Rejection, check_rows
from marketdata.candle_codec import encode
from marketdata.models import CandleHole
from marketdata.series import Series
from tests.marketdata.stub import LIVE, NOON, SPOT, rows_before
from tradebot.clock import to_ms
from tradebot.redis import redis_client

BTC = Series(SPOT, "BTCUSDT", "1m")
ETH = Series(SPOT, "ETHUSDT", "1m")
MINUTE = 60_000
END = to_ms(NOON)


def some(count: int = 5, interval: str = "1m"):
    return check_rows(rows_before(NOON, count, interval), interval, END).candles


def test_series_are_equal_whatever_their_need():
    assert Series(SPOT, "BTCUSDT", "1m", candles=700) == BTC
    assert BTC.key == "candles:http://127.0.0.1:1:spot:BTCUSDT:1m"
    assert Series(LIVE, "BTCUSDT", "1M").key == "candles:live:spot:BTCUSDT:1M"


def test_stored_candles_come_back():
    candles.store({BTC: some(5)})
    assert candles.load(SPOT, "BTCUSDT", "1m").close.tolist() == some(5).close.tolist()
    assert candles.load(LIVE, "BTCUSDT", "1m") is None
    assert candles.load(SPOT, "BTCUSDT", "5m") is None


def test_many_series_are_read_in_one_request(monkeypatch):
    candles.store({Series(SPOT, f"S{n}USDT", "1m"): some(3) for n in range(200)})
    commands = []
    execute = redis.Redis.execute_command
    monkeypatch.setattr(
        redis.Redis, "execute_command", lambda self, *a, **k: commands.append(a[0]) or execute(self, *a, **k)
    )
    loaded = candles.load_many([Series(SPOT, f"S{n}USDT", "1m") for n in range(201)])
    assert len(loaded) == 200
    assert commands == ["MGET"]


def test_nothing_asked_for_is_nothing():
    assert candles.load_many([]) == {}
    assert candles.counts([]) == {}
    assert candles.rejections([]) == {}


@pytest.mark.parametrize("poison", [b"", b"7", b'[{"close": 1}]', b"\x00" * 88, encode(some(5))[:-8]])
def test_a_poisoned_value_counts_as_missing(poison):
    candles.store({ETH: some(5)})
    redis_client().set(BTC.key, poison)
    assert set(candles.load_many([BTC, ETH])) == {ETH}


def test_candles_of_another_series_length_under_the_key_count_as_missing():
    redis_client().set(BTC.key, encode(some(5, "5m")))
    assert candles.load_many([BTC]) == {}


def test_a_value_of_another_type_counts_as_missing_and_is_replaced():
    redis_client().rpush(BTC.key, "x")
    assert candles.load_many([BTC]) == {}
    assert candles.counts([BTC, ETH]) == {BTC: 0, ETH: 0}
    candles.store({BTC: some(5)})
    assert candles.counts([BTC, ETH]) == {BTC: 5, ETH: 0}


def test_unused_series_are_forgotten_after_three_days_or_three_candles():
    month = Series(SPOT, "BTCUSDT", "1M")
    candles.store({BTC: some(5), month: check_rows([], "1M", END).candles})
    day_ms = timedelta(days=1) / timedelta(milliseconds=1)
    assert redis_client().pttl(BTC.key) == pytest.approx(3 * day_ms, abs=5000)
    assert redis_client().pttl(month.key) == pytest.approx(90 * day_ms, abs=5000)


@pytest.mark.django_db
def test_a_hole_is_one_row_however_often_it_is_found():
    holes = [Gap(END - 5 * MINUTE, END - 3 * MINUTE), Gap(END - 2 * MINUTE, END - MINUTE)]
    assert candles.record_holes(BTC, holes) == 2
    assert candles.record_holes(BTC, holes) == 0
    assert candles.record_holes(ETH, holes[:1]) == 1
    assert candles.record_holes(BTC, []) == 0
    found = CandleHole.objects.of(BTC).order_by("start").values_list("start", "end")
    assert list(found) == [
        (NOON - timedelta(minutes=5), NOON - timedelta(minutes=3)),
        (NOON - timedelta(minutes=2), NOON - timedelta(minutes=1)),
    ]
    assert str(CandleHole.objects.of(ETH).get()) == "ETHUSDT 1m: 2026-04-01 11:55 to 2026-04-01 11:57 UTC"


@pytest.mark.django_db
def test_the_database_refuses_a_hole_without_length():
    fields = {"source": "live", "market": "spot", "symbol": "BTCUSDT", "interval": "1m", "start": NOON}
    with pytest.raises(IntegrityError, match="candle_hole_ends_after_start"), transaction.atomic():
        CandleHole.objects.create(**fields, end=NOON)
    assert CandleHole.objects.count() == 0


def test_the_newest_rejection_of_a_series_is_kept_with_its_reason(caplog):
    candles.record_rejections(BTC, [Rejection(END, "second"), Rejection(END - MINUTE, "first")], END)
    candles.record_rejections(ETH, [], END)
    assert candles.rejections([BTC, ETH]) == {BTC: Rejection(END, "second")}
    assert "BTCUSDT 1m (http://127.0.0.1:1 spot): second" in caplog.text


@pytest.mark.parametrize("poison", [b"", b"null", b"[]", b"{}", b'{"open_time_ms": "x", "reason": 1}'])
def test_a_poisoned_rejection_counts_as_missing(poison):
    redis_client().set(f"{BTC.key}:rejected", poison)
    assert candles.rejections([BTC]) == {}
