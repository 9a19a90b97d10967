"""Asking a running paper exchange for futures over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.paper import Paper
from tests.support.shared import SHARED

BTC = {"symbol": "BTCUSDT"}
MARKET = {**BTC, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
LIMIT = {**BTC, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "68000"}
SHAPES = SHARED / "data" / "payload_shapes"


def ask(paper: Paper, key: str, method: str, path: str, **params: Any) -> Any:
    answer = paper.signed(method, f"/fapi/{path}", key, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def code(paper: Paper, key: str, method: str, path: str, **params: Any) -> int:
    answer = paper.signed(method, f"/fapi/{path}", key, **params)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"code", "msg"}
    return int(answer.json()["code"])


def shape(name: str) -> Any:
    """A recorded payload's keys; the test is skipped where there are none."""
    path = SHAPES / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    found = json.loads(path.read_text())
    return set(found[0] if isinstance(found, list) else found)
