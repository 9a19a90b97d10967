"""The concrete bad inputs, by their numbers: 4xx with a sentence, no 5xx, no row changed."""

from __future__ import annotations

from typing import Any

import pytest

from bots.models import BotConfig
from tests.api.support import Api, error_of
from tests.support.owners import make_account, make_owner, row_counts, values_of
from trading.models import ExchangeAccount

pytestmark = pytest.mark.django_db

DEEP = 10_000

# Bodies that are no object of settings, for every address that takes one.
BODIES: list[tuple[str, bytes, int]] = [
    ("1 empty", b"", 400),
    ("1 spaces", b"  ", 400),
    ("2 list", b"[]", 400),
    ("3 null", b"null", 400),
    ("3 text", b'"x"', 400),
    ("3 number", b"7", 400),
    ("4 large", b'{"name": "' + b"x" * 10_000_000 + b'"}', 413),
    ("4 just too large", b'{"name": "' + b"x" * 1_048_576 + b'"}', 413),
    ("5 deep lists", b'{"strategy_params": ' + b"[" * DEEP + b"]" * DEEP + b"}", 400),
    ("5 deep objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400),
    ("5 rather deep", b'{"strategy_params": ' + b"[" * 300 + b"]" * 300 + b"}", 400),
    ("6 not UTF-8", b'{"name": "\xff\xfe"}', 400),
    ("6 UTF-16", '{"name": "x"}'.encode("utf-16"), 400),
    ("6 half a surrogate pair", b'{"name": "\\ud800"}', 400),
    ("6 half a pair in a key", b'{"\\udfff": 1}', 400),
    ("12 key twice", b'{"name": "a", "name": "b"}', 400),
    ("12 key twice inside", b'{"name": "a", "strategy_params": {"ema_fast": 3, "ema_fast": 4}}', 400),
    ("14 NaN", b'{"name": "a", "initial_capital": NaN}', 400),
    ("15 Infinity", b'{"name": "a", "initial_capital": -Infinity}', 400),
    ("44 unknown field", b'{"name": "a", "nonsense": 1}', 400),
    ("44 NUL in an unknown field", b'{"na\\u0000me": 1}', 400),
    ("44 an endless unknown field", b'{"' + b"x" * 100_000 + b'": 1}', 400),
    ("cut off", b'{"name": ', 400),
    ("an endless number", b'{"name": ' + b"9" * 5000 + b"}", 400),
    ("more behind it", b'{"name": "a"} {}', 400),
]

# Values of one field of a bot.
FIELDS: list[tuple[str, str, Any]] = [
    ("7", "name", "a\x00b"),
    ("8", "name", "x" * 100_000),
    ("9 right to left", "name", "a\u202eb"),
    ("9 zero width", "name", "a\u200bb"),
    *(("13-22", "initial_capital", value) for value in ("1e309", "NaN", "Infinity", "-0", "-1", "0")),
    ("19", "initial_capital", "0.000000000000000001"),
    ("20", "initial_capital", "1" * 30),
    ("20 as a number", "initial_capital", int("1" * 30)),
    ("21", "initial_capital", "1,5"),
    ("22", "initial_capital", "\uff11\uff12"),
    ("23", "initial_capital", True),
    ("23", "leverage", True),
    ("a list", "initial_capital", [1]),
    ("an object", "initial_capital", {"a": 1}),
    ("null", "initial_capital", None),
    ("25", "leverage", 0),
    ("26", "leverage", 126),
    ("27", "leverage", 2.5),
    ("27 as a text", "leverage", "2.5"),
    ("28", "leverage", 3),
    ("29", "position_type", "short"),
    *(("30", "stop_loss_perc", value) for value in (0, "0", 100, "101", "-1", "-0.5")),
    ("31", "take_profit_perc", "-5"),
    ("31", "take_profit_perc", 0),
    ("32", "trailing_stop_perc", "4"),
    ("33 same", "strategy_params", {"ema_fast": 21, "ema_slow": 21}),
    ("33 above", "strategy_params", {"ema_fast": 30, "ema_slow": 21}),
    ("34", "strategy_params", {"ema_fast": 0}),
    ("34", "strategy_params", {"ema_slow": 10**9}),
    ("34", "strategy_params", {"ema_fast": 2.5}),
    ("35", "strategy_params", {"rsi_entry_max": 80, "rsi_exit": 20}),
    ("a list for parameters", "strategy_params", []),
    ("code for a parameter", "strategy_params", {"__import__": "os"}),
    ("36", "interval", "7m"),
    ("36", "interval", ["1m"]),
    *(("37", "symbol", value) for value in ("btcusdt ", "BTC/USDT", "../../x", "BTCUSDT';--", "NOPEUSDT")),
    ("37 halted", "symbol", "OLDUSDT"),
    ("37 not in USDT", "symbol", "ETHBTC"),
    ("37 NUL", "symbol", "BTCUSDT\x00"),
    ("38", "initial_capital", "1000000000001"),
    ("39", "max_daily_trades", -1),
    ("39", "max_daily_trades", 10**12),
    ("no strategy", "strategy", "martingale"),
    ("no market", "market", "options"),
    *(("43", name, 7) for name in ("id", "user", "owner", "state", "realized_pnl", "version", "is_active")),
    ("44", "nonsense", 1),
    ("a flag that only looks like one", "compound", "yes"),
]


@pytest.fixture
def rows(bot: BotConfig) -> Any:
    """What must stay as it is."""

    def look() -> Any:
        return (values_of(bot), row_counts(), list(ExchangeAccount.objects.values()))

    return look


@pytest.mark.parametrize(("body", "status"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_a_body_that_is_none_changes_nothing(
    api: Api, bot: BotConfig, rows: Any, body: bytes, status: int
) -> None:
    before = rows()
    error_of(api.send("POST", "bots/", body), status)
    if body:
        for method, path in (
            ("PATCH", f"bots/{bot.pk}/"),
            ("PUT", f"bots/{bot.pk}/"),
            ("POST", f"bots/{bot.pk}/start/"),
            ("POST", "accounts/"),
            ("PATCH", f"accounts/{bot.account_id}/"),
            ("POST", "auth/login/"),
            ("POST", "auth/logout/"),
        ):
            error_of(api.send(method, path, body), status)
    assert rows() == before


@pytest.mark.parametrize(
    ("field", "value"), [case[1:] for case in FIELDS], ids=[f"{case[0]} {case[1]}" for case in FIELDS]
)
def test_a_bad_value_is_400_at_its_field(api: Api, bot: BotConfig, rows: Any, field: str, value: Any) -> None:
    before = rows()
    good = {"name": "new", "account": bot.account_id, "symbol": "ETHUSDT", "stop_loss_perc": "3"}
    changes = {"stop_loss_perc": "3"} | {field: value}
    for response in (
        api.post("bots/", good | {field: value}),
        api.put(f"bots/{bot.pk}/", good | {field: value}),
        api.patch(f"bots/{bot.pk}/", changes),
    ):
        fields = error_of(response, 400)["fields"]
        assert fields
        assert {name.split(".")[0] for name in fields} == {field}
    assert rows() == before


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "=cmd()"])
def test_10_odd_but_readable_names_come_back_as_data(api: Api, bot: BotConfig, name: str) -> None:
    response = api.patch(f"bots/{bot.pk}/", {"name": name})
    assert response.json()["name"] == name
    assert (response["Content-Type"], response["X-Content-Type-Options"]) == ("application/json", "nosniff")


@pytest.mark.parametrize("text", [b"0.1", b'"0.1"', b"0.10", b"1e-1"])
def test_24_a_fraction_is_kept_exactly_or_refused(api: Api, bot: BotConfig, text: bytes) -> None:
    response = api.patch(f"bots/{bot.pk}/", b'{"stop_loss_perc": ' + text + b"}")
    assert response.json()["stop_loss_perc"] == "0.1"


def test_40_another_users_account_is_answered_like_none(api: Api, bot: BotConfig, rows: Any) -> None:
    foreign = make_account(make_owner())
    before = rows()
    answers = set()
    for account in (foreign.pk, 10**9, 10**30, -1, "1", None, "x"):
        body = {"name": "new", "symbol": "ETHUSDT", "account": account}
        answers.add(error_of(api.post("bots/", body), 400)["fields"]["account"])
    assert answers == {"There is no such account; choose one of your own."}
    assert rows() == before


def test_what_is_wrong_is_told_without_repeating_it_at_length(api: Api, bot: BotConfig) -> None:
    long = "x" * 100_000
    for body in ({"name": "a", long: 1}, {"interval": long}, {"symbol": long}, {"initial_capital": long}):
        response = api.patch(f"bots/{bot.pk}/", body)
        assert response.status_code == 400
        assert len(response.content) < 1500


def test_who_tries_to_set_what_can_only_be_read_is_logged(api: Api, bot: BotConfig, caplog: Any) -> None:
    error_of(api.send("PATCH", f"bots/{bot.pk}/", b'{"id": 1, "version": 7, "name": "x"}'), 400)
    assert (
        caplog.messages.count(f"user {bot.user_id} tried to set id, version at /api/v1/bots/{bot.pk}/") == 1
    )
