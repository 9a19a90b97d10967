"""Futures books over the end of the process, and whole months of funding without a wait."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.paper import ROOT, Paper, start_paper

KEY = "paper-test"
BTC = {"symbol": "BTCUSDT"}
ETH = {"symbol": "ETHUSDT"}
DAY_MS = 86_400_000


def send(paper: Paper, method: str, path: str, **params: Any) -> Any:
    answer = paper.signed(method, f"/fapi/v1/{path}", KEY, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def some_trading(paper: Paper) -> None:
    send(paper, "POST", "leverage", **BTC, leverage=3)
    send(paper, "POST", "marginType", **ETH, marginType="CROSSED")
    send(paper, "POST", "order", **BTC, side="SELL", type="MARKET", quantity="0.01")
    limit = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1"}
    price = float(paper.public("/fapi/v1/ticker/price", **ETH).json()["price"])
    send(paper, "POST", "order", **ETH, **limit, price=f"{price * 0.9:.2f}", newClientOrderId="rest")
    stop = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "side": "BUY", "closePosition": "true"}
    send(paper, "POST", "algoOrder", **BTC, **stop, triggerPrice="99000.5", clientAlgoId="guard")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_futures_books_survive_the_end_of_the_process(tmp_path: Path, end: str) -> None:
    with start_paper(tmp_path, data=tmp_path / "books", clock="stepped") as paper:
        some_trading(paper)
        paper.control("/paper/futures/funding", {**BTC, "rate": 0.005})
        before = paper.books(KEY)
        rate = paper.public("/fapi/v1/premiumIndex", **BTC).json()["lastFundingRate"]
        getattr(paper, end)()
        paper.start()
        assert paper.books(KEY) == before
        assert paper.public("/fapi/v1/premiumIndex", **BTC).json()["lastFundingRate"] == rate == "0.00500000"
        assert send(paper, "DELETE", "order", **ETH, origClientOrderId="rest")["status"] == "CANCELED"
        assert send(paper, "DELETE", "algoOrder", clientAlgoId="guard")["msg"] == "success"
        made = send(paper, "POST", "order", **BTC, side="BUY", type="MARKET", quantity="0.01")
        assert made["orderId"] == max(order["orderId"] for order in before["futures"]["orders"]) + 1
        after = paper.books(KEY)["futures"]
        ids = [row["tranId"] for row in after["income"]]
        assert len(set(ids)) == len(ids) > len(before["futures"]["income"])
        assert [row["positionAmt"] for row in after["positions"] if row["symbol"] == "BTCUSDT"] == ["0"]


def test_a_stepped_month_has_ninety_fundings(tmp_path: Path) -> None:
    with start_paper(tmp_path, clock="stepped") as paper:
        paper.control("/paper/futures/funding", {**BTC, "rate": 0.0001})
        paper.control("/paper/price", {**BTC, "price": 70_000})
        send(paper, "POST", "leverage", **BTC, leverage=1)
        send(paper, "POST", "order", **BTC, side="SELL", type="MARKET", quantity="0.01")
        paper.control("/paper/clock", {"now_ms": paper.now_ms() + 30 * DAY_MS})
        rows = send(paper, "GET", "income", incomeType="FUNDING_FEE", startTime=1, limit=1000)
        assert len(rows) == 90
        assert {row["income"] for row in rows} == {"0.07000000"}
        assert {row["time"] % (8 * 3_600_000) for row in rows} == {0}


def test_books_with_something_that_is_not_listed_are_refused(tmp_path: Path) -> None:
    books = tmp_path / "books"
    with start_paper(tmp_path, data=books) as paper:
        send(paper, "POST", "order", **ETH, side="SELL", type="MARKET", quantity="0.1")
    argv = [sys.executable, "-m", "trading.paper", "--data", str(books), "--symbols", "1"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "ETHUSDT, which is not listed here" in ended.stderr
