"""Every bad value of a bot is refused at its field with a sentence, and nothing is stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bots.models import BotConfig
from bots.services import bot_create
from bots.validation import FIELDS, validate_bot
from marketdata.intervals import INTERVALS
from tests.support.owners import load_symbols, make_account, make_bot, make_owner, row_counts
from tradebot.errors import InvalidInput

pytestmark = pytest.mark.django_db

GOOD = {"name": "first", "symbol": "BTCUSDT"}
NOT_A_SYMBOL = (
    "is not a USDT symbol of the paper exchange's spot market; write it exactly as the exchange does, "
    "like BTCUSDT."
)
CAPITAL = "Initial capital must be a number above 0 and at most 1000000000000"
STOP = "Stop-loss must be a number above 0 and below 100"
INVISIBLE = "Name must not contain invisible or control characters; {} is one. Type the name anew."


def fault(field: str, **values: Any) -> str:
    """Create a bot with these values; the message at `field`, which must be the only fault."""
    user = make_owner()
    account = make_account(user)
    load_symbols()
    before = row_counts()
    with pytest.raises(InvalidInput) as caught:
        bot_create(user=user, account=account, values=GOOD | values)
    assert row_counts() == before
    assert list(caught.value.fields) == [field]
    assert caught.value.field == field
    return caught.value.fields[field]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "Name must not be empty; give it a name."),
        ("   ", "Name must not be empty; give it a name."),
        (None, "Name must be a text; not 'None'."),
        (7, "Name must be a text; not '7'."),
        ("a\x00b", INVISIBLE.format("U+0000")),
        ("a\nb", INVISIBLE.format("U+000A")),
        ("a\u202eb", INVISIBLE.format("U+202E")),
        ("a\u200bb", INVISIBLE.format("U+200B")),
        ("\ufeff", INVISIBLE.format("U+FEFF")),
        ("a\ud800", INVISIBLE.format("U+D800")),
        ("x" * 101, "Name must have at most 100 characters; it has 101."),
        ("x" * 100_000, "Name must have at most 100 characters; it has 100000."),
    ],
)
def test_a_name_must_be_readable(value: Any, message: str) -> None:
    assert fault("name", name=value) == message


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "=cmd()", "Bot π 株", "x" * 100])
def test_odd_but_readable_names_are_kept_as_they_are(name: str) -> None:
    account = make_account(make_owner())
    load_symbols()
    assert make_bot(account, name=name).name == name


def test_a_name_is_taken_once_per_owner_and_free_again_after_deletion() -> None:
    account = make_account(make_owner())
    load_symbols()
    first = make_bot(account, name="twin")
    with pytest.raises(InvalidInput, match="There is a bot named 'twin' already") as caught:
        make_bot(account, name=" twin ")
    assert list(caught.value.fields) == ["name"]
    make_bot(make_account(make_owner()), name="twin")
    BotConfig.objects.filter(pk=first.pk).update(deleted_at="2026-04-01T12:00Z")
    make_bot(account, name="twin")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("btcusdt ", f"Symbol 'btcusdt ' {NOT_A_SYMBOL}"),
        ("btcusdt", f"Symbol 'btcusdt' {NOT_A_SYMBOL}"),
        ("BTC/USDT", f"Symbol 'BTC/USDT' {NOT_A_SYMBOL}"),
        ("../../x", f"Symbol '../../x' {NOT_A_SYMBOL}"),
        ("BTCUSDT';--", f'Symbol "BTCUSDT\';--" {NOT_A_SYMBOL}'),
        ("BTCUSDT\x00", f"Symbol 'BTCUSDT?' {NOT_A_SYMBOL}"),
        ("NOPEUSDT", f"Symbol 'NOPEUSDT' {NOT_A_SYMBOL}"),
        ("ETHBTC", f"Symbol 'ETHBTC' {NOT_A_SYMBOL}"),
        ("X" * 50, f"Symbol '{'X' * 40}…' {NOT_A_SYMBOL}"),
        ("OLDUSDT", "Symbol OLDUSDT does not trade now (status BREAK); choose another one or wait."),
        ("", "Symbol must be one of the exchange, written like BTCUSDT."),
        (None, "Symbol must be one of the exchange, written like BTCUSDT."),
        (["BTCUSDT"], "Symbol must be one of the exchange, written like BTCUSDT."),
    ],
)
def test_a_symbol_must_trade_on_the_accounts_exchange(value: Any, message: str) -> None:
    assert fault("symbol", symbol=value) == message


def test_without_a_list_of_symbols_the_message_says_so() -> None:
    account = make_account(make_owner())
    before = row_counts()
    with pytest.raises(InvalidInput) as caught:
        make_bot(account)
    assert caught.value.fields == {
        "symbol": "The list of symbols of the paper exchange is not loaded yet; "
        "try again when the exchange has answered."
    }
    assert row_counts() == before


def test_a_symbol_is_looked_up_at_the_exchange_of_the_account() -> None:
    account = make_account(make_owner(), environment="testnet")
    load_symbols("paper")
    with pytest.raises(InvalidInput, match="symbols of the testnet exchange is not loaded yet"):
        make_bot(account)
    load_symbols("testnet")
    assert make_bot(account).symbol == "BTCUSDT"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "above"),
        (None, "above"),
        ("NaN", "written"),
        (float("nan"), "written"),
        (Decimal("sNaN"), "written"),
        ("Infinity", "written"),
        (float("inf"), "written"),
        (float("-inf"), "written"),
        ("1e309", "written"),
        ("1e3", "written"),
        ("-0", "written"),
        (-0.0, "written"),
        ("1,5", "written"),
        ("1_000", "written"),
        ("+5", "written"),
        (" 5", "written"),
        ("5 ", "written"),
        ("5.", "written"),
        (".5", "written"),
        ("0x10", "written"),
        ("\uff11\uff12", "written"),
        ("\u0663", "written"),
        (True, "written"),
        (False, "written"),
        ([], "written"),
        ({}, "written"),
        ("1" * 31, "written"),
        (10**40, "written"),
        ("-1", "; not"),
        (-1, "; not"),
        ("0", "; not"),
        (0, "; not"),
        ("0.0", "; not"),
        ("1000000000000.01", "; not"),
        ("1" * 30, "; not"),
    ],
)
def test_capital_must_be_a_plain_positive_number(value: Any, shown: str) -> None:
    message = fault("initial_capital", initial_capital=value)
    assert message.startswith(CAPITAL)
    assert shown in message


def test_capital_has_at_most_eight_decimals() -> None:
    message = fault("initial_capital", initial_capital="0.000000000000000001")
    assert message == "Initial capital must have at most 8 decimals; '0.000000000000000001' has more."


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("0.1", Decimal("0.1")),
        (0.1, Decimal("0.1")),
        (1e-8, Decimal("0.00000001")),
        (Decimal("250.50"), Decimal("250.5")),
        (10**12, Decimal(10**12)),
        ("007", Decimal(7)),
    ],
)
def test_capital_is_kept_exactly_as_written(value: Any, kept: Decimal) -> None:
    account = make_account(make_owner())
    load_symbols()
    bot = make_bot(account, initial_capital=value)
    assert BotConfig.objects.get(pk=bot.pk).initial_capital == kept


@pytest.mark.parametrize("value", ["0", "100", "101", "-1", "NaN", 0, 100, True, "99.99999"])
def test_stop_loss_lies_between_0_and_100(value: Any) -> None:
    message = fault("stop_loss_perc", stop_loss_perc=value)
    if value == "99.99999":
        assert message == "Stop-loss must have at most 4 decimals; '99.99999' has more."
    else:
        assert message.startswith(STOP)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("take_profit_perc", "-1", "Take-profit must be a number above 0 and at most 10000; not '-1'."),
        ("take_profit_perc", "0", "Take-profit must be a number above 0 and at most 10000; not '0'."),
        ("position_size_perc", "0", "Position size must be a number above 0 and at most 100; not '0'."),
        (
            "position_size_perc",
            "100.1",
            "Position size must be a number above 0 and at most 100; not '100.1'.",
        ),
        ("trailing_stop_perc", "100", "Trailing stop must be a number above 0 and below 100; not '100'."),
        ("trailing_step_perc", "-1", "Trailing step must be a number from 0 and below 100; not '-1'."),
        ("max_daily_loss_perc", "0", "Daily loss limit must be a number above 0 and at most 100; not '0'."),
        (
            "max_daily_loss_perc",
            "101",
            "Daily loss limit must be a number above 0 and at most 100; not '101'.",
        ),
        ("daily_target_perc", "-3", "Daily target must be a number above 0 and at most 10000; not '-3'."),
        ("max_daily_trades", -1, "Daily trades limit must be a whole number from 1 to 100000; not '-1'."),
        ("max_daily_trades", 0, "Daily trades limit must be a whole number from 1 to 100000; not '0'."),
        (
            "max_daily_trades",
            10**12,
            "Daily trades limit must be a whole number from 1 to 100000; not '1000000000000'.",
        ),
        ("cooldown_minutes", "-1", "Cool-down must be a whole number from 0 to 43200; not '-1'."),
        ("cooldown_minutes", "43201", "Cool-down must be a whole number from 0 to 43200; not '43201'."),
        ("cooldown_minutes", "", "Cool-down must be a whole number from 0 to 43200; not ''."),
        ("leverage", 0, "Leverage must be a whole number from 1 to 125; not '0'."),
        ("leverage", 126, "Leverage must be a whole number from 1 to 125; not '126'."),
        ("leverage", 2.5, "Leverage must be a whole number from 1 to 125; not '2.5'."),
        ("leverage", "2.5", "Leverage must be a whole number from 1 to 125; not '2.5'."),
        ("leverage", True, "Leverage must be a whole number from 1 to 125; not 'True'."),
        ("leverage", "\uff11", "Leverage must be a whole number from 1 to 125; not '\uff11'."),
        ("leverage", "-0", "Leverage must be a whole number from 1 to 125; not '-0'."),
        ("leverage", None, "Leverage must be a whole number from 1 to 125; not 'None'."),
        ("leverage", 2, "Spot has no leverage; leave it at 1."),
        ("position_type", "short", "Spot bots can't be short; choose long."),
        ("position_type", "both", "Position type must be one of long, short; not 'both'."),
        ("market", "options", "Market must be one of spot, futures; not 'options'."),
        ("interval", "7m", f"Interval must be one of {', '.join(INTERVALS)}; not '7m'."),
        ("interval", None, f"Interval must be one of {', '.join(INTERVALS)}; not 'None'."),
        ("interval", ["1m"], f"Interval must be one of {', '.join(INTERVALS)}; not \"['1m']\"."),
        ("strategy", "martingale", "There is no strategy 'martingale'; choose one of ema_rsi."),
        ("strategy", ["ema_rsi"], "There is no strategy \"['ema_rsi']\"; choose one of ema_rsi."),
        ("compound", "yes", "Compound must be true or false; not 'yes'."),
        ("close_on_daily_limit", 1, "Close on daily limit must be true or false; not '1'."),
        (
            "trailing_activation_perc",
            "2",
            "Trailing activation needs a trailing stop; set one or leave this empty.",
        ),
        ("risk_per_trade_perc", "1", "Risk per trade needs a stop-loss; set one or leave this empty."),
    ],
)
def test_each_field_has_its_bounds_and_its_sentence(field: str, value: Any, message: str) -> None:
    assert fault(field, **{field: value}) == message


def test_a_trailing_stop_wider_than_the_stop_loss_is_refused() -> None:
    message = fault("trailing_stop_perc", trailing_stop_perc="3.5", stop_loss_perc="3")
    assert message == "Trailing stop (3.5 %) must not be wider than the stop-loss (3 %)."


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"ema_fast": 21, "ema_slow": 21}, "strategy_params.ema_fast"),
        ({"ema_fast": 30}, "strategy_params.ema_fast"),
        ({"ema_fast": 0}, "strategy_params.ema_fast"),
        ({"ema_slow": 10**9}, "strategy_params.ema_slow"),
        ({"rsi_entry_max": 80, "rsi_exit": 20}, "strategy_params.rsi_exit"),
        ({"rsi_period": True}, "strategy_params.rsi_period"),
        ({"rsi_period": "14"}, "strategy_params.rsi_period"),
        ({"rsi_period": float("nan")}, "strategy_params.rsi_period"),
        ({"ema_fast\x00": 3}, "strategy_params.ema_fast\x00"),
        ({"exec": "rm"}, "strategy_params.exec"),
        ([], "strategy_params"),
        (None, "strategy_params"),
        ("{}", "strategy_params"),
    ],
)
def test_strategy_parameters_are_checked_by_their_strategy(params: Any, field: str) -> None:
    assert fault(field, strategy_params=params)


def test_unknown_fields_and_those_that_are_not_the_owners_are_refused() -> None:
    values = {"user": 1, "id": 7, "is_active": True, "version": 9, "nonsense": 1}
    user = make_owner()
    load_symbols()
    with pytest.raises(InvalidInput) as caught:
        validate_bot(user=user, account=make_account(user), values=GOOD | values)
    assert caught.value.fields == {name: f"'{name}' is not a setting of a bot." for name in values}


def test_another_users_account_is_answered_like_one_that_does_not_exist() -> None:
    user = make_owner()
    other = make_account(make_owner())
    load_symbols()
    answers = []
    before = row_counts()
    for account in (other, None):
        with pytest.raises(InvalidInput) as caught:
            bot_create(user=user, account=account, values=GOOD)
        answers.append(caught.value.fields)
    assert answers[0] == answers[1] == {"account": "There is no such account; choose one of your own."}
    assert row_counts() == before


def test_all_faults_are_told_at_once() -> None:
    user = make_owner()
    load_symbols()
    with pytest.raises(InvalidInput) as caught:
        validate_bot(
            user=user,
            account=make_account(user),
            values={"name": "", "symbol": "x", "leverage": 0, "stop_loss_perc": "x", "strategy": "x"},
        )
    assert set(caught.value.fields) == {"name", "symbol", "leverage", "stop_loss_perc", "strategy"}


def test_the_smallest_configuration_gets_the_documented_defaults() -> None:
    user = make_owner()
    load_symbols()
    cleaned = validate_bot(user=user, account=make_account(user), values=GOOD)
    assert set(cleaned) == set(FIELDS)
    assert cleaned["strategy_params"] == {
        "ema_fast": 9,
        "ema_slow": 21,
        "rsi_period": 14,
        "rsi_entry_max": 70,
        "rsi_exit": 80,
    }
    assert (cleaned["market"], cleaned["interval"], cleaned["leverage"]) == ("spot", "1m", 1)
    assert cleaned["stop_loss_perc"] is None
