"""The exchange that follows another one's public data, here a second paper exchange on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support.paper import ROOT, Paper, start_paper
from trading.paper.errors import ApiError
from trading.paper.live import Live, Unanswered, floats, load_listing
from trading.paper.live import _wait as wait_of
from trading.paper.live_market import Listing, LiveMarket, LiveRefused, futures_listing, spot_listing
from trading.paper.market import Touch
from trading.paper.symbols import make_spec

KEY = "paper-live"
BTC = {"symbol": "BTCUSDT"}
FAPI_BTC = ("/fapi/v1/premiumIndex", "markPrice")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Paper, Paper]]:
    """(the source, the exchange that follows it)."""
    folders = [tmp_path_factory.mktemp(name) for name in ("source", "live")]
    with start_paper(folders[0], symbols=20, seed=5, weight_limit=10**6) as source:
        argv = [sys.executable, "-m", "trading.paper", "--port", "0", "--live", "--live-poll", "1"]
        argv += ["--live-url", source.url, "--live-futures-url", source.url]
        with Paper(argv, folders[1] / "paper.log") as live:
            yield source, live


@pytest.fixture
def source(pair: tuple[Paper, Paper]) -> Iterator[Paper]:
    yield pair[0]
    pair[0].control("/paper/faults", method="DELETE")


@pytest.fixture
def live(pair: tuple[Paper, Paper]) -> Iterator[Paper]:
    yield pair[1]
    pair[1].control("/paper/clock", {"offset_ms": 0})


def until(check: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `check` gives, as soon as it is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def at(live: Paper, path: str, price: str, name: str = "price") -> Callable[[], bool]:
    def check() -> bool:
        answer = live.public(path, **BTC)
        return answer.status_code == 200 and Decimal(answer.json()[name]) == Decimal(price)

    return check


def move(source: Paper, live: Paper, price: int) -> None:
    """Set the source's price, and wait until both markets have followed."""
    source.control("/paper/price", {**BTC, "price": price})
    until(at(live, "/api/v3/ticker/price", str(price)))
    until(at(live, "/fapi/v2/ticker/price", str(price)))
    until(at(live, *FAPI_BTC[:1], str(price), FAPI_BTC[1]))


def test_symbols_filters_and_candles_are_the_sources(source: Paper, live: Paper) -> None:
    for path in ("/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo"):
        theirs, ours = (one.public(path).json()["symbols"] for one in (source, live))
        assert [row["symbol"] for row in ours] == [row["symbol"] for row in theirs]
        assert [row["filters"] for row in ours] == [row["filters"] for row in theirs]
        assert [row["status"] for row in ours] == [row["status"] for row in theirs]
    asked = {**BTC, "interval": "1m", "limit": 50, "endTime": live.now_ms() // 60_000 * 60_000 - 1}
    for path in ("/api/v3/klines", "/fapi/v1/klines"):
        assert live.public(path, **asked).json() == source.public(path, **asked).json()
    assert live.public("/api/v3/klines", **BTC, interval="7m").json()["code"] == -1120
    assert live.public("/api/v3/ticker/24hr", **BTC).json()["symbol"] == "BTCUSDT"
    assert len(live.public("/fapi/v1/fundingRate", **BTC, limit=5).json()) == 5
    assert live.control("/paper/health")["market"] == "live"


def test_prices_marks_and_funding_rates_follow(source: Paper, live: Paper) -> None:
    source.control("/paper/futures/funding", {**BTC, "rate": "0.0007"})
    move(source, live, 71_000)
    source.control("/paper/futures/mark", {**BTC, "price": 70_900})
    until(at(live, *FAPI_BTC[:1], "70900", FAPI_BTC[1]))
    index = live.public("/fapi/v1/premiumIndex", **BTC).json()
    assert (index["indexPrice"], index["lastFundingRate"]) == ("71000.00000000", "0.00070000")
    source.control("/paper/futures/mark", {**BTC, "price": None})


def test_orders_fill_at_the_sources_prices(source: Paper, live: Paper) -> None:
    move(source, live, 70_000)
    order = {**BTC, "side": "BUY", "type": "MARKET", "quantity": "0.001"}
    spot = live.signed("POST", "/api/v3/order", KEY, **order).json()
    assert spot["fills"][0]["price"] == "70003.50000000"
    futures = live.signed("POST", "/fapi/v1/order", KEY, **order, newOrderRespType="RESULT").json()
    assert futures["avgPrice"] == "70003.50000000"
    limit = order | {"type": "LIMIT", "timeInForce": "GTC", "price": "69500"}
    ids = [
        live.signed("POST", path, KEY, **limit).json()["orderId"]
        for path in ("/api/v3/order", "/fapi/v1/order")
    ]
    move(source, live, 69_400)
    for path, order_id in zip(("/api/v3/order", "/fapi/v1/order"), ids, strict=True):
        found = live.signed("GET", path, KEY, **BTC, orderId=order_id).json()
        assert (found["status"], Decimal(found["executedQty"])) == ("FILLED", Decimal("0.001"))
        assert Decimal(found.get("cummulativeQuoteQty") or found["cumQuote"]) == Decimal("69.5")


def test_closed_candles_are_asked_for_once(source: Paper, live: Paper) -> None:
    asked = {**BTC, "interval": "5m", "limit": 20, "endTime": live.now_ms() - 3_600_000}
    first = live.public("/api/v3/klines", **asked)
    assert first.status_code == 200
    source.control("/paper/faults", {"kind": "unavailable", "path": "/api/v3/klines", "count": -1})
    assert live.public("/api/v3/klines", **asked).json() == first.json()
    other = live.public("/api/v3/klines", **(asked | {"limit": 21}))
    assert (other.status_code, other.json()["code"]) == (503, -1001)


def test_without_a_source_nothing_is_shown_or_traded(source: Paper, live: Paper) -> None:
    move(source, live, 70_000)
    limit = {
        **BTC,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.001",
        "price": "69500",
    }
    resting = live.signed("POST", "/api/v3/order", KEY, **limit).json()
    for path in ("/api/v3/ticker/price", "/fapi/v2/ticker/price", "/fapi/v1/premiumIndex"):
        source.control("/paper/faults", {"kind": "drop_request", "path": path, "count": -1})
    live.control("/paper/clock", {"offset_ms": 15_000})
    until(lambda: live.public("/api/v3/ticker/price").status_code == 503)
    for path in ("/fapi/v2/ticker/price", "/fapi/v1/premiumIndex", "/api/v3/depth", "/api/v3/avgPrice"):
        answer = live.public(path, **BTC)
        assert (answer.status_code, answer.json()["code"]) == (503, -1001)
    order = {**BTC, "side": "BUY", "type": "MARKET", "quantity": "0.001"}
    refused = live.signed("POST", "/api/v3/order", KEY, **order)
    assert (refused.status_code, refused.json()) == (400, {"code": -2010, "msg": "Market is closed."})
    assert live.signed("POST", "/fapi/v1/order", KEY, **order).json()["code"] == -4140
    assert live.signed("GET", "/fapi/v3/positionRisk", KEY).status_code == 503
    wanted = {**BTC, "orderId": resting["orderId"]}
    assert live.signed("GET", "/api/v3/order", KEY, **wanted).json()["status"] == "NEW"
    assert live.signed("DELETE", "/api/v3/order", KEY, **wanted).json()["status"] == "CANCELED"
    assert live.control("/paper/health")["pricesAgeMs"]["spot"] > 10_000
    source.control("/paper/faults", method="DELETE")
    until(at(live, "/api/v3/ticker/price", "70000"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--live-url", "http://127.0.0.1:1", "--live-futures-url", "http://127.0.0.1:1"), "does not answer"),
        (("--clock", "stepped"), "no stepped clock"),
        (("--candles", "."), "no --candles"),
    ],
)
def test_it_does_not_start_on_nothing(options: tuple[str, ...], text: str) -> None:
    argv = [sys.executable, "-m", "trading.paper", "--live", *options]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


# -- the pieces, without a network


def test_a_polled_price_stands_until_the_next_poll() -> None:
    spec = make_spec("XYZ", "USDT", 100.0)
    market = LiveMarket({"XYZUSDT": spec})
    assert (market.price("XYZUSDT", 5), market.first_touch("XYZUSDT", 0, 9, 1e9, 0)) == (None, None)
    for at_ms, price in ((1000, 100.0), (2000, 90.0), (3000, 110.0)):
        market.add(at_ms, {"XYZUSDT": price})
    assert [market.price("XYZUSDT", at_ms) for at_ms in (0, 1999, 2000, 99_999)] == [100, 100, 90, 110]
    assert market.first_touch("XYZUSDT", 1000, 5000, 95, 105) == Touch(2000, 90.0)
    assert market.first_touch("XYZUSDT", 2500, 5000, 95, 105) == Touch(2500, 90.0)
    assert market.first_touch("XYZUSDT", 1000, 1999, 95, 105) is None
    market.add(500, {"XYZUSDT": 50.0})  # the clock was set back
    assert market.price("XYZUSDT", 3000) == 50


def test_bad_prices_are_left_out() -> None:
    rows = [{"symbol": "A", "price": "1.5"}, {"symbol": "B", "price": "0"}, {"symbol": "C", "price": "x"}]
    assert floats([*rows, {"symbol": "D", "price": "NaN"}, {"price": "2"}, 7], "price") == {"A": 1.5}
    assert floats({"code": -1}, "price") == {}


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (200, "9", 0.0),
        (429, "30", 30.0),
        (418, "7200", 7200.0),
        (429, "soon", 60.0),
        (418, "9" * 20, 259_200.0),
    ],
)
def test_the_sources_limits_are_obeyed(status: int, header: str, seconds: float) -> None:
    assert wait_of(status, {"Retry-After": header}) == seconds


@pytest.mark.parametrize("info", [{}, {"symbols": [{}]}, {"symbols": None}, []])
def test_a_listing_that_is_none_is_refused(info: Any) -> None:
    for read in (spot_listing, futures_listing):
        with pytest.raises(LiveRefused):
            read(info)


class Scripted:
    """A source that answers from a list, and counts."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def get(self, market: str, path: str, params: Any = None) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass


def row(close_ms: int) -> list[Any]:
    return [close_ms - 59_999, "1", "1", "1", "1", "1", close_ms, "1", 1, "1", "1", "0"]


def make_live(source: Scripted, now: list[int]) -> Live:
    return Live(source, Listing(), lambda: now[0], 1.0)  # type: ignore[arg-type]


def test_the_open_candle_is_asked_for_again_after_two_seconds() -> None:
    now = [1_000_000]
    first, second = [row(1_059_999)], [row(1_119_999)]
    live = make_live(Scripted(first, second), now)
    asked = {"symbol": "BTCUSDT", "interval": "1m"}
    assert asyncio.run(live.klines("spot", asked)) == first
    now[0] += 1_999
    assert asyncio.run(live.klines("spot", asked)) == first
    now[0] += 1
    assert asyncio.run(live.klines("spot", asked)) == second


@pytest.mark.parametrize(
    ("answer", "code"), [(Unanswered("x"), -1001), (ApiError(-1121, "Invalid symbol."), -1121), ({}, -1001)]
)
def test_what_the_source_does_not_give_is_an_error(answer: Any, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        asyncio.run(make_live(Scripted(answer), [0]).klines("spot", {"symbol": "X"}))
    assert caught.value.code == code


def test_a_source_that_is_not_there_has_no_listing() -> None:
    urls = dict.fromkeys(("spot", "futures"), "http://127.0.0.1:1")
    with pytest.raises(LiveRefused, match="does not answer"):
        asyncio.run(load_listing(urls))
