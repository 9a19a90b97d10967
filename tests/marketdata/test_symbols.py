"""The symbol caches: fresh, last good with its age, counters, poison."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import redis

from marketdata import symbol_codec, symbols
from marketdata.exchange_info import parse_exchange_info
from tests.marketdata.stub import LIVE, SPOT, StubExchange, spot_symbol
from tradebot.errors import RateLimited, StaleData, Transient, UnknownSymbol
from tradebot.redis import redis_client

KEY = "symbols:http://127.0.0.1:1:spot"
INFO = {
    "symbols": [
        spot_symbol("币安人生USDT", "币安人生"),
        spot_symbol("ETHUSDT", "ETH"),
        spot_symbol("BTCUSDT", "BTC"),
        spot_symbol("BNBUSDT", "BNB", status="BREAK"),
        {"symbol": "broken", "quoteAsset": "USDT"},
    ]
}
DOWN = Transient("The exchange did not answer within 15 s.")


@pytest.fixture(autouse=True)
def _nothing_parsed():
    symbols.forget_parsed()


@pytest.fixture
def clock(monkeypatch):
    """The time that symbols.py sees; move it by clock.now."""

    class Clock:
        now = datetime(2026, 4, 1, 12, tzinfo=UTC)

    monkeypatch.setattr(symbols, "now", lambda: Clock.now)
    return Clock


def expire(key: str = KEY) -> None:
    """What Redis does when SYMBOLS_TTL is over."""
    assert redis_client().delete(key) == 1


def test_a_refresh_fills_the_caches(clock, settings):
    done = symbols.refresh(SPOT, client=StubExchange(info=INFO))
    assert done == symbols.Refreshed(True, "http://127.0.0.1:1", "spot", symbols=4, trading=3, skipped=1)
    client = redis_client()
    assert sorted(key.decode() for key in client.keys("*")) == [
        *(KEY, f"{KEY}:last_good", f"{KEY}:ok", f"{KEY}:refreshed_at"),
    ]
    assert client.ttl(KEY) in range(settings.SYMBOLS_TTL - 5, settings.SYMBOLS_TTL + 1)
    assert client.ttl(f"{KEY}:last_good") == -1
    assert client.get(f"{KEY}:refreshed_at") == b"1775044800000"
    assert client.get(f"{KEY}:ok") == b"1"


def test_the_cache_gives_the_rules_and_their_age(clock):
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    clock.now += timedelta(seconds=90)
    cache = symbols.cached(SPOT)
    assert [rules.symbol for rules in cache.symbols] == ["BTCUSDT", "ETHUSDT", "BNBUSDT", "币安人生USDT"]
    assert [rules.symbol for rules in cache.trading] == ["BTCUSDT", "ETHUSDT", "币安人生USDT"]
    assert cache.symbols == parse_exchange_info(INFO, "spot")
    assert (cache.refreshed_at, cache.age_seconds, cache.stale) == (
        *(datetime(2026, 4, 1, 12, tzinfo=UTC), 90.0, False),
    )


def test_live_keys_have_no_source_in_them_and_sources_do_not_mix():
    symbols.refresh(LIVE, client=StubExchange(info=INFO))
    assert redis_client().exists("symbols:spot", "symbols:spot:last_good") == 2
    assert len(symbols.cached(LIVE).symbols) == 4
    with pytest.raises(StaleData):
        symbols.cached(SPOT)


def test_with_the_exchange_down_readers_get_the_last_good_copy_and_its_age(clock, caplog):
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    clock.now += timedelta(hours=3)
    with caplog.at_level(logging.WARNING, logger="marketdata.symbols"):
        done = symbols.refresh(SPOT, client=StubExchange(error=DOWN))
    expire()
    assert (done.ok, done.error) == (False, "Transient: The exchange did not answer within 15 s.")
    assert "not refreshed: Transient" in caplog.text
    cache = symbols.cached(SPOT)
    assert (len(cache.symbols), cache.age_seconds, cache.stale) == (4, 10_800.0, True)
    assert cache.refreshed_at == datetime(2026, 4, 1, 12, tzinfo=UTC)
    assert symbols.counters(SPOT) == symbols.Counters(1, 1, datetime(2026, 4, 1, 12, tzinfo=UTC))
    assert symbols.rules_for(SPOT, "BTCUSDT").tick == Decimal("0.01")


def test_another_process_reads_the_last_good_copy_too(clock):
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    expire()
    symbols.forget_parsed()
    assert symbols.cached(SPOT).stale
    assert len(symbols.cached(SPOT).symbols) == 4


def test_a_refresh_after_the_outage_is_fresh_again(clock):
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    expire()
    assert symbols.cached(SPOT).stale
    clock.now += timedelta(hours=1)
    symbols.refresh(SPOT, client=StubExchange(info={"symbols": [spot_symbol()]}))
    cache = symbols.cached(SPOT)
    assert ([r.symbol for r in cache.symbols], cache.stale, cache.age_seconds) == (["BTCUSDT"], False, 0.0)


@pytest.mark.parametrize(
    "error", [DOWN, RateLimited("Wait.", retry_after_seconds=30.0)], ids=["down", "limited"]
)
def test_every_failure_of_the_exchange_is_counted(error):
    for _ in range(3):
        assert not symbols.refresh(SPOT, client=StubExchange(error=error)).ok
    assert symbols.counters(SPOT) == symbols.Counters(0, 3, None)


@pytest.mark.parametrize(
    "info",
    [{}, {"symbols": []}, {"symbols": [{"quoteAsset": "USDT"}]}],
)
def test_an_answer_without_a_symbol_is_a_failure_and_the_last_good_copy_stays(info):
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    done = symbols.refresh(SPOT, client=StubExchange(info=info))
    assert (done.ok, done.error) == (False, "the answer holds no USDT symbol")
    assert len(symbols.cached(SPOT).symbols) == 4
    assert symbols.counters(SPOT).errors == 1


def test_an_exchange_in_maintenance_is_closed_until_a_symbol_trades():
    for status, is_closed in (("TRADING", False), ("BREAK", True), ("TRADING", False)):
        assert symbols.refresh(SPOT, client=StubExchange(info={"symbols": [spot_symbol(status=status)]})).ok
        assert symbols.cached(SPOT).is_closed is is_closed


def test_nothing_ever_fetched_says_what_to_check():
    with pytest.raises(StaleData, match=r"never fetched. Check that the exchange answers"):
        symbols.cached(SPOT)


def test_an_unknown_symbol_is_named():
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    for wrong in ("btcusdt", "BTC/USDT", "../../x", "BTCUSDT';--", "", "NOPEUSDT"):
        with pytest.raises(UnknownSymbol):
            symbols.rules_for(SPOT, wrong)
    assert symbols.rules_for(SPOT, "币安人生USDT").base == "币安人生"
    assert set(symbols.many(SPOT, ["BTCUSDT", "NOPEUSDT"])) == {"BTCUSDT"}


def poisons() -> list[bytes]:
    good = symbol_codec.encode(parse_exchange_info(INFO, "spot"), "spot", datetime(2026, 4, 1, tzinfo=UTC))
    document = json.loads(good)
    changed = [
        {"schema": "other"},
        {"market": "futures"},
        {"fields": ["symbol"]},
        {"rows": []},
        {"rows": [[1] * 15]},
        {"rows": [document["rows"][0][:-1]]},
        {"rows": [["BTCUSDT", "BTC", "USDT", "TRADING", "NaN", *document["rows"][0][5:]]]},
        {"rows": [["BTCUSDT", "BTC", "USDT", "TRADING", "0", *document["rows"][0][5:]]]},
        {"rows": [["BTCUSDT", "BTC", "USDT", "TRADING", 0.001, *document["rows"][0][5:]]]},
        {"refreshed_at_ms": "yesterday"},
        {"refreshed_at_ms": 10**20},
    ]
    texts = [json.dumps({**document, **change}).encode() for change in changed]
    return [b"", b"\xff\xfe", b"null", b"[]", b"7", b"[" * 100_000, good[:-1], *texts]


@pytest.mark.parametrize("poison", poisons())
def test_a_poisoned_value_is_refused_and_the_last_good_copy_used(poison):
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    redis_client().set(KEY, poison)
    cache = symbols.cached(SPOT)
    assert (len(cache.symbols), cache.stale) == (4, True)
    redis_client().set(f"{KEY}:last_good", poison)
    symbols.forget_parsed()
    with pytest.raises(StaleData):
        symbols.cached(SPOT)


def test_keys_of_another_type_count_as_missing_and_are_replaced():
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    client = redis_client()
    for suffix in ("", ":refreshed_at", ":ok", ":errors"):
        client.delete(f"{KEY}{suffix}")
        client.rpush(f"{KEY}{suffix}", "x")
    cache = symbols.cached(SPOT)
    assert (len(cache.symbols), cache.stale) == (4, True)
    assert symbols.counters(SPOT) == symbols.Counters(0, 0, None)
    assert symbols.refresh(SPOT, client=StubExchange(info=INFO)).ok
    assert not symbols.refresh(SPOT, client=StubExchange(error=DOWN)).ok
    assert not symbols.cached(SPOT).stale
    assert (symbols.counters(SPOT).ok, symbols.counters(SPOT).errors) == (1, 1)


def test_a_refresh_is_parsed_once_a_process(monkeypatch):
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    decoded = []
    monkeypatch.setattr(symbols, "decode", lambda *given: decoded.append(1) or symbol_codec.decode(*given))
    first = symbols.cached(SPOT)
    for _ in range(100):
        assert symbols.cached(SPOT).symbols is first.symbols
    assert len(decoded) == 1


def test_with_redis_down_a_process_answers_from_what_it_has_parsed(monkeypatch):
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    symbols.cached(SPOT)
    monkeypatch.setattr(symbols, "redis_client", lambda: redis.Redis(port=1, retry=None))
    assert len(symbols.cached(SPOT).symbols) == 4
    symbols.forget_parsed()
    with pytest.raises(StaleData):
        symbols.cached(SPOT)


def test_with_redis_emptied_a_process_keeps_its_copy_as_stale():
    symbols.refresh(SPOT, client=StubExchange(info=INFO))
    symbols.cached(SPOT)
    redis_client().flushdb()
    cache = symbols.cached(SPOT)
    assert (len(cache.symbols), cache.stale) == (4, True)
