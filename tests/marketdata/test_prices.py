"""Last prices in Redis, and the gate that doubts a jump."""

from __future__ import annotations

import struct

import pytest

from marketdata.prices import PriceGate, load_many, store
from marketdata.types import Price
from tests.marketdata.stub import LIVE, NOON, SPOT
from tradebot.redis import redis_client

KEY = "price:http://127.0.0.1:1:spot:BTCUSDT"


def test_prices_come_back_with_their_time():
    store(SPOT, {"BTCUSDT": 65_000.5, "币安人生USDT": 0.1}, NOON)
    assert load_many(SPOT, ["BTCUSDT", "ETHUSDT", "币安人生USDT"]) == {
        "BTCUSDT": Price(65_000.5, NOON),
        "币安人生USDT": Price(0.1, NOON),
    }


def test_a_source_sees_its_own_prices_only():
    store(SPOT, {"BTCUSDT": 65_000.5}, NOON)
    assert load_many(LIVE, ["BTCUSDT"]) == {}


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 0.0, -1.0])
def test_no_price_that_is_not_above_zero_is_stored(price):
    store(SPOT, {"BTCUSDT": price}, NOON)
    assert load_many(SPOT, ["BTCUSDT"]) == {}


@pytest.mark.parametrize(
    "poison",
    [
        b"",
        b"65000",
        b"x" * 20,
        struct.pack("<4sdq", b"TBPR", float("nan"), 1),
        struct.pack("<4sdq", b"TBPR", -1.0, 1),
        struct.pack("<4sdq", b"TBPR", 1.0, 2**60),
    ],
)
def test_a_poisoned_value_counts_as_missing(poison):
    redis_client().set(KEY, poison)
    assert load_many(SPOT, ["BTCUSDT"]) == {}


def test_a_value_of_another_type_counts_as_missing_and_is_replaced():
    redis_client().hset(KEY, "a", "b")
    assert load_many(SPOT, ["BTCUSDT"]) == {}
    store(SPOT, {"BTCUSDT": 2.0}, NOON)
    assert load_many(SPOT, ["BTCUSDT"]) == {"BTCUSDT": Price(2.0, NOON)}


@pytest.mark.parametrize("text", [None, "", "NaN", "inf", "0", "-5", "1,5", [], {}])
def test_the_gate_keeps_out_what_is_no_price(text):
    assert PriceGate().sift({"BTCUSDT": text}, ["BTCUSDT", "ETHUSDT"]) == {}


def test_the_gate_lets_a_jump_through_once_it_was_repeated_twice():
    gate = PriceGate()
    answers = [
        gate.sift({"BTCUSDT": p}, ["BTCUSDT"]) for p in ("100", "100000", "100001", "100002", "100003")
    ]
    assert answers == [{"BTCUSDT": 100.0}, {}, {}, {"BTCUSDT": 100_002.0}, {"BTCUSDT": 100_003.0}]


def test_the_gate_forgets_a_jump_that_did_not_stay():
    gate = PriceGate({"BTCUSDT": 100.0})
    answers = [
        gate.sift({"BTCUSDT": p}, ["BTCUSDT"]) for p in ("100000", "101", "100000", "100000", "9999999")
    ]
    assert answers == [{}, {"BTCUSDT": 101.0}, {}, {}, {}]
