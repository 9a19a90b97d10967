"""Orders to strike with faults, and the switches."""

from __future__ import annotations

from typing import Any

import requests

from tests.support.paper import Paper

MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.005"}
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "60000",
}
SPOT, FUTURES = "/api/v3/order", "/fapi/v1/order"


def send(paper: Paper, key: str, path: str = SPOT, **order: Any) -> requests.Response:
    return paper.signed("POST", path, key, **(MARKET | order))


def switch(paper: Paper, kind: str, **options: Any) -> dict[str, Any]:
    return dict(paper.control("/paper/faults", {"kind": kind, **options}))


def off(paper: Paper) -> None:
    paper.control("/paper/faults", method="DELETE")


def stand(paper: Paper, price: str = "62000") -> None:
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": price})
