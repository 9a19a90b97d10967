"""What a futures bot may be: leverage within the symbol's brackets, no stop beyond the liquidation price."""

from __future__ import annotations

from typing import Any

import pytest

from bots.validation import validate_bot
from marketdata import symbols
from tests.support.owners import load_symbols, make_account, make_owner
from tradebot.binance.sources import source_for
from tradebot.errors import InvalidInput
from trading import brackets

GOOD = {"name": "bot", "market": "futures", "symbol": "BTCUSDT", "leverage": 10}


class Brackets:
    """Answers leverageBracket for BTCUSDT."""

    source = source_for("testnet", "futures")

    def leverage_brackets(self) -> list[dict[str, Any]]:
        tiers = [(2, 50_000, 20, "0.02"), (1, 0, 50, "0.01")]
        rows = [
            {"bracket": number, "notionalFloor": floor, "initialLeverage": most, "maintMarginRatio": rate}
            for number, floor, most, rate in tiers
        ]
        return [{"symbol": "BTCUSDT", "brackets": rows}, {"symbol": "BROKEN", "brackets": []}]


@pytest.fixture
def account(transactional_db, settings):
    symbols.forget_parsed()
    load_symbols(market="futures")
    return make_account(make_owner())


def faults(account, **values: Any) -> dict[str, str]:
    try:
        validate_bot(user=account.user, account=account, values=GOOD | values)
    except InvalidInput as error:
        return error.fields
    return {}


@pytest.fixture
def known_brackets():
    client = Brackets()
    client.source = source_for("paper", "futures")
    assert brackets.refresh(client) == 1
    return client


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("leverage", [1, 2, 125])
def test_both_sides_and_every_leverage_are_taken(account, side, leverage):
    assert faults(account, position_type=side, leverage=leverage) == {}


def test_leverage_beyond_the_symbols_first_bracket_is_refused(account, known_brackets):
    assert faults(account, leverage=50) == {}
    assert faults(account, leverage=51) == {"leverage": "Leverage of BTCUSDT can be 50 at most; not 51."}


def test_the_list_of_the_futures_market_counts(account):
    assert faults(account, symbol="OLDUSDT") == {
        "symbol": "Symbol OLDUSDT does not trade now (status BREAK); choose another one or wait."
    }


@pytest.mark.parametrize(
    ("side", "leverage", "refused", "taken"),
    [("long", 10, "9.5478", "9.5477"), ("short", 10, "9.4528", "9.4527"), ("long", 125, "0.3016", "0.3015")],
)
def test_a_stop_beyond_the_liquidation_price_is_refused(account, side, leverage, refused, taken):
    values = {"position_type": side, "leverage": leverage}
    assert faults(account, stop_loss_perc=taken, **values) == {}
    message = faults(account, stop_loss_perc=refused, **values)["stop_loss_perc"]
    assert message.startswith(f"Stop-loss ({refused} %) lies beyond the estimated liquidation price")
    assert "trailing_stop_perc" in faults(account, trailing_stop_perc=refused, **values)


def test_a_long_bot_without_leverage_may_have_any_stop(account):
    assert faults(account, leverage=1, stop_loss_perc="99") == {}


def test_the_symbols_maintenance_rate_counts(account, known_brackets):
    assert "9.09 % from the entry" in faults(account, stop_loss_perc="9.2")["stop_loss_perc"]


def test_spot_has_neither_side_nor_leverage(account):
    load_symbols()
    found = faults(account, market="spot", position_type="short")
    assert found == {
        "position_type": "Spot bots can't be short; choose long.",
        "leverage": "Spot has no leverage; leave it at 1.",
    }
