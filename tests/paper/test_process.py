"""The program itself: start, restart, SIGKILL, replay, wrong options, and python-binance as its client."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.paper.conftest import START_MS
from tests.support.environment import TEST_ENVIRONMENT
from tests.support.paper import ROOT, Paper, secret_of, start_paper
from tests.support.shared import require_shared

FLAT = (100.0, 100.0, 100.0, 100.0)
FALL = (100.0, 100.0, 90.0, 95.0)
KEY = "paper-test"
DAY_MS = 86_400_000


def program(*options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "trading.paper", *options]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    "options",
    [
        ("--port", "x"),
        ("--port", "70000"),
        ("--fee", "2"),
        ("--fee", "nan"),
        ("--symbols", "0"),
        ("--clock", "sundial"),
        ("--shift-days", "soon"),
        ("--balance", "-1"),
        ("--candles", "/nowhere"),
        ("--data", "/nowhere/books"),
        ("--what",),
    ],
)
def test_wrong_options_exit_2_with_a_sentence(options: tuple[str, ...]) -> None:
    ended = program(*options)
    assert ended.returncode == 2
    assert "error:" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("XYZUSDT.csv", "open_time_ms,open,high,low,close,volume\n"),
        ("XYZUSDT-7m.csv", "open_time_ms,open,high,low,close,volume\n"),
        ("XYZUSDT-1m.csv", "time,open\n1,2\n"),
        ("XYZUSDT-1m.csv", "open_time_ms,open,high,low,close,volume\n"),
        ("XYZUSDT-1m.csv", "open_time_ms,open,high,low,close,volume\n60000,1,1,1,x,1\n"),
        ("XYZUSDT-1m.csv", "open_time_ms,open,high,low,close,volume\n60001,1,1,1,1,1\n"),
        ("XYZUSDT-1m.csv", "open_time_ms,open,high,low,close,volume\n60000,1,1,0,1,1\n"),
        ("XYZUSDT-1m.csv.gz", "not gzip"),
    ],
)
def test_broken_candle_files_exit_2_and_are_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    ended = program("--candles", str(tmp_path))
    assert ended.returncode == 2
    assert name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_starts_without_django_in_about_a_second(tmp_path: Path) -> None:
    code = "import sys, trading.paper.cli; sys.exit('django' in sys.modules or 'binance' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    with start_paper(tmp_path) as paper:
        assert paper.control("/paper/health")["symbols"] == 120
        assert paper.stop() == 0
        assert paper.errors() == ""


def test_two_on_one_file_are_one_too_many(tmp_path: Path) -> None:
    books = tmp_path / "books"
    with start_paper(tmp_path, data=books):
        ended = program("--data", str(books))
    assert ended.returncode == 2
    assert "another paper exchange" in ended.stderr


def some_trading(paper: Paper) -> None:
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 70_000})
    for _ in range(3):
        paper.order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    answer = paper.order(
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.01",
        price="35000",
        newClientOrderId="rest",
    )
    assert answer.status_code == 200, answer.text
    pair = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.01",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "150000",
        "belowType": "STOP_LOSS_LIMIT",
        "belowStopPrice": "30000",
        "belowPrice": "29000",
        "belowTimeInForce": "GTC",
    }
    answer = paper.signed("POST", "/api/v3/orderList/oco", **pair)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_books_survive_the_end_of_the_process(tmp_path: Path, end: str) -> None:
    with start_paper(tmp_path, data=tmp_path / "books") as paper:
        some_trading(paper)
        before = paper.books(KEY)
        assert len(before["orders"]) == 6
        getattr(paper, end)()
        paper.start()
        assert paper.books(KEY) == before
        again = paper.order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01").json()
        assert again["orderId"] == max(order["orderId"] for order in before["orders"]) + 1
        assert again["fills"][0]["tradeId"] == max(fill["id"] for fill in before["fills"]) + 1
        rest = {"symbol": "BTCUSDT", "origClientOrderId": "rest"}
        assert paper.signed("DELETE", "/api/v3/order", **rest).json()["status"] == "CANCELED"


def test_a_kill_in_the_middle_loses_no_order_that_was_answered(tmp_path: Path) -> None:
    with start_paper(tmp_path, data=tmp_path / "books", balance=10**9, order_limit=10**6) as paper:
        answered: list[int] = []

        def buy_on() -> None:
            while True:
                try:
                    answer = paper.order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")
                except requests.ConnectionError:
                    return
                answered.append(answer.json()["orderId"])

        thread = threading.Thread(target=buy_on)
        thread.start()
        deadline = time.monotonic() + 15
        while len(answered) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        paper.kill()
        thread.join(timeout=10)
        paper.start()
        books = paper.books(KEY)
        kept = {order["orderId"] for order in books["orders"]}
        assert set(answered) <= kept
        assert len(kept) - len(answered) <= 1
        spent = sum(Decimal(order["cummulativeQuoteQty"]) for order in books["orders"])
        assert Decimal(books["balances"]["USDT"]["free"]) == 10**9 - spent
        got = sum(Decimal(fill["qty"]) - Decimal(fill["commission"]) for fill in books["fills"])
        assert Decimal(books["balances"]["BTC"]["free"]) == got


def test_the_synthetic_market_does_not_jump_at_a_restart(tmp_path: Path) -> None:
    query = {"symbol": "ETHUSDT", "interval": "1m", "limit": 300, "endTime": 1_790_000_000_000}
    with start_paper(tmp_path, seed=7) as paper:
        before = paper.public("/api/v3/klines", **query).json()
        paper.kill()
        paper.start()
        assert paper.public("/api/v3/klines", **query).json() == before
    assert len(before) == 300


def test_a_stepped_clock_goes_where_it_is_set_and_survives(tmp_path: Path) -> None:
    with start_paper(tmp_path, clock="stepped", data=tmp_path / "books") as paper:
        first = paper.now_ms()
        assert first % 60_000 == 0
        assert paper.public("/api/v3/time").json() == {"serverTime": first}
        paper.control("/paper/clock", {"now_ms": first + 90_000})
        back = paper.session.post(f"{paper.url}/paper/clock", json={"now_ms": first}, timeout=10)
        assert back.status_code == 400
        last = paper.public("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=1).json()[0]
        assert last[0] == first + 60_000
        paper.kill()
        paper.start()
        assert paper.now_ms() == first + 90_000


def test_a_replay_matches_resting_orders_as_its_clock_is_stepped(
    tmp_path: Path, candles: Callable[..., Path]
) -> None:
    folder = candles(FLAT, FALL, FLAT, None, FLAT)
    with start_paper(tmp_path, candles=folder, clock="stepped") as paper:
        assert paper.now_ms() == START_MS
        info = paper.public("/api/v3/exchangeInfo").json()
        assert [one["symbol"] for one in info["symbols"]] == ["XYZUSDT"]
        paper.order(symbol="XYZUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="3", price="95")
        paper.control("/paper/clock", {"now_ms": START_MS + 300_000})
        [fill] = paper.books(KEY)["fills"]
        assert (fill["price"], fill["time"]) == ("95.00000000", START_MS + 90_000)
        rows = paper.public("/api/v3/klines", symbol="XYZUSDT", interval="1m").json()
        assert [row[0] - START_MS for row in rows] == [0, 60_000, 120_000, 240_000]
        assert rows[1][1:5] == ["100.00000000", "100.00000000", "90.00000000", "95.00000000"]


def test_a_replay_of_real_candles_shows_them_as_recorded(tmp_path: Path) -> None:
    folder = require_shared("data/ohlcv/spot_1m_2026")
    with start_paper(tmp_path, candles=folder, clock="stepped") as paper:
        info = paper.public("/api/v3/exchangeInfo").json()
        assert [one["symbol"] for one in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
        paper.control("/paper/clock", {"now_ms": 1_774_267_740_000 + 3 * 60_000})
        rows = paper.public("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=4).json()
        assert rows[0][:6] == [
            1_774_267_740_000,
            "69979.98000000",
            "70112.55000000",
            "69973.41000000",
            "70070.53000000",
            "32.55652000",
        ]
        assert rows[3][1] == rows[3][4] == "70106.38000000"
        hours = paper.public("/api/v3/klines", symbol="BTCUSDT", interval="1h").json()
        assert hours[0][0] % 3_600_000 == 0


def test_on_wall_time_files_are_moved_by_whole_days_into_the_future(tmp_path: Path) -> None:
    folder = require_shared("data/ohlcv/spot_1m_2026")
    with start_paper(tmp_path, candles=folder) as paper:
        now_ms = paper.now_ms()
        rows = paper.public("/api/v3/klines", symbol="ETHUSDT", interval="1m", limit=1000).json()
        assert len(rows) == 1000
        assert rows[-1][0] <= now_ms <= rows[-1][6]
    text = gzip.decompress((folder / "ETHUSDT-1m.csv.gz").read_bytes()).decode()
    recorded = {int(line.partition(",")[0]): line.split(",") for line in text.splitlines()[1:]}
    last_ms = max(recorded)
    days = -(-(now_ms - last_ms) // DAY_MS)
    assert now_ms <= last_ms + days * DAY_MS < now_ms + DAY_MS
    for row in rows[:-1]:
        assert [float(value) for value in row[1:5]] == [
            float(value) for value in recorded[row[0] - days * DAY_MS][1:5]
        ]


def test_python_binance_trades_here(paper: Paper, key: str) -> None:
    binance = pytest.importorskip("binance")
    client = binance.Client(key, secret_of(key), ping=False)
    client.API_URL = paper.url + "/api"
    client.FUTURES_URL = paper.url + "/fapi"
    client.session.trust_env = False
    assert client.get_exchange_info()["symbols"][0]["symbol"] == "BTCUSDT"
    assert {"asset": "BTC", "free": "1.00000000", "locked": "0.00000000"} in client.get_account()["balances"]
    order = client.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    assert order["status"] == "FILLED"
    assert client.get_order(symbol="BTCUSDT", orderId=order["orderId"])["executedQty"] == "0.01000000"
    trades = client.get_my_trades(symbol="BTCUSDT", orderId=order["orderId"])
    assert [trade["id"] for trade in trades] == [fill["tradeId"] for fill in order["fills"]]
    price = Decimal(client.get_symbol_ticker(symbol="BTCUSDT")["price"])
    rest = client.create_order(
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.01",
        price=f"{price * Decimal('0.9'):.2f}",
    )
    assert client.cancel_order(symbol="BTCUSDT", orderId=rest["orderId"])["status"] == "CANCELED"
    pair: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.01",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": f"{price * Decimal('1.1'):.2f}",
        "belowType": "STOP_LOSS",
        "belowStopPrice": f"{price * Decimal('0.9'):.2f}",
    }
    assert client.create_oco_order(**pair)["listOrderStatus"] == "EXECUTING"
    assert len(client.get_klines(symbol="BTCUSDT", interval="1m", limit=1000)) == 1000
    with pytest.raises(binance.exceptions.BinanceAPIException) as caught:
        client.get_order(symbol="BTCUSDT", orderId=1)
    assert caught.value.code == -2013
    futures = client.futures_exchange_info()["symbols"][0]
    assert futures["contractType"] == "PERPETUAL"
    assert futures["filters"][4] == {"filterType": "MIN_NOTIONAL", "notional": "50"}
    assert len(client.futures_klines(symbol="BTCUSDT", interval="5m", limit=20)) == 20


def test_the_django_command_is_the_same_program() -> None:
    urls = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    environment = {**os.environ, **TEST_ENVIRONMENT, **urls}  # neither is reached
    argv = [sys.executable, "manage.py", "paper_exchange", "--port", "x"]
    ended = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert ended.returncode == 2
    assert "not a whole number" in ended.stderr
    argv[-1] = "0"
    running = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["url"]
        assert requests.get(url + "/api/v3/ping", timeout=10).json() == {}
    finally:
        running.terminate()
        assert running.wait(timeout=10) == 0
        running.stdout.close()
