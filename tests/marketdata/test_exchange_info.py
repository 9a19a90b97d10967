"""exchangeInfo to symbol rules: recorded answers, and the oddities of today's."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from decimal import Decimal

import pytest

from marketdata.exchange_info import POPULAR, parse, parse_exchange_info
from marketdata.types import SymbolRules
from tests.marketdata.stub import spot_symbol, with_filter
from tests.support.shared import require_shared


def recorded(name: str):
    return json.loads(gzip.decompress(require_shared(f"data/exchange_info/{name}").read_bytes()))


def rules_of(symbol_row, market: str = "spot") -> SymbolRules:
    (rules,) = parse_exchange_info({"symbols": [symbol_row]}, market)
    return rules


def test_recorded_spot_symbols_of_2021():
    parsed = parse(recorded("spot_mainnet_2021-10-12.json.gz"), "spot")
    assert parsed.skipped == ()
    assert Counter(rules.status for rules in parsed.symbols) == {
        "TRADING": 275,
        "NO_SPOT_TRADING": 40,  # leveraged tokens: not for spot accounts
        "BREAK": 27,
    }
    assert [rules.symbol for rules in parsed.symbols[:5]] == [
        *("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"),
    ]
    assert parsed.symbols[0] == SymbolRules(
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        status="TRADING",
        lot_step=Decimal("0.00001"),
        min_quantity=Decimal("0.00001"),
        max_quantity=Decimal("100.05381873"),
        tick=Decimal("0.01"),
        min_price=Decimal("0.01"),
        max_price=Decimal(1_000_000),
        min_notional=Decimal(10),
        max_notional=None,
        min_notional_applies_to_market=True,
        max_notional_applies_to_market=False,
        order_types=("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"),
    )


def test_recorded_futures_symbols_of_2021():
    parsed = parse(recorded("futures_usdm_mainnet_2021-07-22.json.gz"), "futures")
    assert parsed.skipped == ()
    assert Counter(rules.status for rules in parsed.symbols) == {"TRADING": 117, "PENDING_TRADING": 1}
    btc = parsed.symbols[0]
    assert (btc.symbol, btc.lot_step, btc.tick, btc.min_price, btc.max_quantity, btc.min_notional) == (
        *("BTCUSDT", Decimal("0.001"), Decimal("0.01"), Decimal("556.72"), Decimal(1000), Decimal(5)),
    )
    assert "BTCUSDT_210924" not in {rules.symbol for rules in parsed.symbols}  # a dated contract


@pytest.mark.parametrize(
    ("name", "market"),
    [("spot_mainnet_2021-10-12.json.gz", "spot"), ("futures_usdm_mainnet_2021-07-22.json.gz", "futures")],
)
def test_every_recorded_step_fits_both_lot_filters(name, market):
    rows = {one["symbol"]: one for one in recorded(name)["symbols"]}
    for rules in parse_exchange_info(recorded(name), market):
        for one in rows[rules.symbol]["filters"]:
            if one["filterType"] in ("LOT_SIZE", "MARKET_LOT_SIZE") and Decimal(one["stepSize"]):
                assert rules.lot_step % Decimal(one["stepSize"]) == 0


def test_popular_bases_come_first_then_the_alphabet():
    rows = [spot_symbol(f"{base}USDT", base) for base in ("ZRX", "ETH", "AAA", "BTC", "BNB")]
    symbols = [rules.symbol for rules in parse_exchange_info({"symbols": rows}, "spot")]
    assert symbols == ["BTCUSDT", "ETHUSDT", "BNBUSDT", "AAAUSDT", "ZRXUSDT"]
    assert POPULAR[:5] == ("BTC", "ETH", "BNB", "SOL", "XRP")


def test_only_pairs_quoted_in_usdt_are_kept_and_halted_ones_are_among_them():
    rows = [
        spot_symbol("ETHBTC", "ETH", quoteAsset="BTC"),
        spot_symbol("USDTTRY", "USDT", quoteAsset="TRY"),
        spot_symbol("BNBUSDT", "BNB", status="HALT"),
    ]
    (rules,) = parse_exchange_info({"symbols": rows}, "spot")
    assert (rules.symbol, rules.status, rules.is_trading) == ("BNBUSDT", "HALT", False)


def test_todays_notional_filter_and_percent_price_by_side():
    rules = rules_of(spot_symbol())
    assert (rules.min_notional, rules.max_notional) == (Decimal(5), Decimal(9_000_000))
    assert rules.min_notional_applies_to_market
    assert not rules.max_notional_applies_to_market


def test_notional_rules_may_not_count_for_market_orders():
    row = with_filter(
        spot_symbol(),
        "NOTIONAL",
        minNotional="5",
        applyMinToMarket=False,
        maxNotional="0.00000000",
        applyMaxToMarket=True,
    )
    rules = rules_of(row)
    assert (rules.min_notional_applies_to_market, rules.max_notional_applies_to_market) == (False, True)
    assert rules.max_notional is None


def test_the_old_and_the_new_notional_filter_together_give_the_stricter_one():
    row = with_filter(spot_symbol(), "MIN_NOTIONAL", minNotional="10.0", applyToMarket=True, avgPriceMins=5)
    assert rules_of(row).min_notional == 10


def test_futures_name_their_notional_field_differently():
    row = with_filter(spot_symbol(contractType="PERPETUAL"), "NOTIONAL")
    row = with_filter(row, "MIN_NOTIONAL", notional="100")
    assert rules_of(row, "futures").min_notional == 100
    assert rules_of(row, "spot").min_notional is None


def test_zero_filters_are_rules_that_are_off():
    row = with_filter(spot_symbol(), "PRICE_FILTER", minPrice="0.0", maxPrice="0", tickSize="0.00000000")
    row = with_filter(row, "NOTIONAL", minNotional="0.00", maxNotional="0")
    rules = rules_of(row)
    assert (rules.tick, rules.min_price, rules.max_price) == (None, None, None)
    assert (rules.min_notional, rules.max_notional) == (None, None)
    assert rules.lot_step == Decimal("0.00001")  # MARKET_LOT_SIZE's step is 0
    assert rules.max_quantity == Decimal("112.5")


def test_without_any_lot_step_the_assets_precision_is_the_step():
    row = with_filter(spot_symbol(), "LOT_SIZE", minQty="0", maxQty="0", stepSize="0")
    row = with_filter(row, "MARKET_LOT_SIZE")
    rules = rules_of(row)
    assert (rules.lot_step, rules.min_quantity, rules.max_quantity) == (Decimal("0.00000001"), 0, None)


@pytest.mark.parametrize(
    ("lot", "market_lot", "step"),
    [
        ("0.001", "0.001", "0.001"),
        ("0.001", "0.01", "0.01"),
        ("0.002", "0.003", "0.006"),
        ("0.25", "0.1", "0.5"),
        ("1.00", "0.000", "1"),
        ("10", "4", "20"),
        ("100", "1", "100"),
    ],
)
def test_the_lot_step_is_the_least_common_multiple_of_both_filters(lot, market_lot, step):
    row = with_filter(spot_symbol(), "LOT_SIZE", minQty="1", maxQty="9000", stepSize=lot)
    row = with_filter(row, "MARKET_LOT_SIZE", minQty="2", maxQty="0", stepSize=market_lot)
    rules = rules_of(row)
    assert str(rules.lot_step) == step
    assert (rules.min_quantity, rules.max_quantity) == (2, 9000)


def test_unknown_filter_types_are_ignored():
    row = with_filter(spot_symbol(), "POSITION_RISK_CONTROL", positionControlSide="NONE", anything=[None])
    assert rules_of(row) == rules_of(spot_symbol())


def test_symbols_beyond_ascii_are_ordinary_symbols():
    rules = rules_of(spot_symbol("币安人生USDT", "币安人生"))
    assert (rules.symbol, rules.base, rules.is_trading) == ("币安人生USDT", "币安人生", True)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        7,
        "BTCUSDT",
        [],
        {},
        {"symbol": "XUSDT", "quoteAsset": "USDT"},
        spot_symbol("", "X"),
        spot_symbol("X\nUSDT", "X"),
        spot_symbol("X" * 41, "X"),
        spot_symbol(7, "X"),
        spot_symbol(filters=None),
        spot_symbol(filters=[1]),
        spot_symbol(filters=[{"noType": 1}]),
        spot_symbol(filters=[], baseAssetPrecision="8"),
        spot_symbol(filters=[], baseAssetPrecision=-1),
        with_filter(spot_symbol(), "LOT_SIZE", minQty="1", maxQty="2", stepSize="NaN"),
        with_filter(spot_symbol(), "LOT_SIZE", minQty="1", maxQty="2", stepSize="-1"),
        with_filter(spot_symbol(), "LOT_SIZE", minQty="1", maxQty="2", stepSize="1e-999999"),
        with_filter(spot_symbol(), "LOT_SIZE", minQty="1", maxQty="2", stepSize=True),
        with_filter(spot_symbol(), "LOT_SIZE", minQty="1", maxQty="2", stepSize=[1]),
        with_filter(spot_symbol(), "PRICE_FILTER", minPrice="x", maxPrice="2", tickSize="1"),
        with_filter(spot_symbol(), "NOTIONAL", minNotional="Infinity"),
    ],
)
def test_a_malformed_row_is_skipped_and_counted_and_the_others_are_read(broken):
    parsed = parse({"symbols": [broken, spot_symbol("ETHUSDT", "ETH")]}, "spot")
    assert [rules.symbol for rules in parsed.symbols] == ["ETHUSDT"]
    assert len(parsed.skipped) == 1


@pytest.mark.parametrize("info", [{}, {"symbols": None}, {"symbols": {}}, {"symbols": []}, None, [], "x"])
def test_an_answer_without_symbols_has_none(info):
    assert parse_exchange_info(info, "spot") == ()
