"""manage.py bots: every action, its exit code, and that bad input changes nothing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from bots import services
from bots.models import BotConfig, BotInbox
from tests.support.owners import (
    load_symbols,
    make_account,
    make_bot,
    make_owner,
    put_in_position,
    row_counts,
    values_of,
)
from trading.models import ExchangeAccount

pytestmark = pytest.mark.django_db

CREATE = ("create", "--user", "olga", "--account", "main", "--name", "first", "--symbol", "BTCUSDT")


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `manage.py bots ...`."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command("bots", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, out.getvalue().strip(), err.getvalue().strip()


def unchanged(code: int, *arguments: str) -> str:
    """Run; it must end with `code`, one sentence on stderr, nothing on stdout and no row changed."""
    before, bots = row_counts(), [values_of(bot) for bot in BotConfig.objects.order_by("pk")]
    got, out, err = run(*arguments)
    assert (got, out) == (code, "")
    assert row_counts() == before
    assert [values_of(bot) for bot in BotConfig.objects.order_by("pk")] == bots
    assert len(err.splitlines()) == 1
    return err


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The bots that were woken; no message is sent."""
    calls: list[tuple[int, int]] = []
    name = "bots.management.commands.bots.wake_bot"
    monkeypatch.setattr(name, lambda bot_id, inbox_id: calls.append((bot_id, inbox_id)))
    return calls


@pytest.fixture
def account(db: None) -> ExchangeAccount:
    load_symbols()
    return make_account(make_owner("olga"), name="main")


@pytest.fixture
def bot(account: ExchangeAccount) -> BotConfig:
    return make_bot(account, name="first")


def test_an_empty_list_says_how_to_begin(db: None) -> None:
    assert run() == (0, "No bots yet. Create one: manage.py bots create --help", "")
    assert run("--json") == (0, '{"bots": []}', "")


def test_bots_are_listed_in_a_table(bot: BotConfig) -> None:
    put_in_position(bot)
    code, out, err = run()
    head, row = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split()[:5] == ["ID", "NAME", "OWNER", "ACCOUNT", "SYMBOL"]
    assert row.split() == [
        *(str(bot.pk), "first", "olga", "main", "BTCUSDT", "1m", "no", "in", "position", "0.01", "60000.5")
    ]


@pytest.mark.parametrize("arguments", [("--json",), ("list", "--json"), ("--json", "list")])
def test_bots_are_listed_as_one_json_document(bot: BotConfig, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "bots": [
            {
                "id": bot.pk,
                "name": "first",
                "owner": "olga",
                "account": "main",
                "symbol": "BTCUSDT",
                "interval": "1m",
                "active": False,
                "status": "paused",
                "position": None,
                "entry_price": None,
            }
        ]
    }


def test_the_list_of_a_user_holds_his_bots_only(bot: BotConfig) -> None:
    make_bot(make_account(make_owner("otto")), name="other")
    assert [each["name"] for each in json.loads(run("--json", "--user", "otto")[1])["bots"]] == ["other"]


def test_a_bot_is_created_from_options(account: ExchangeAccount) -> None:
    code, out, err = run(
        *CREATE,
        *("--stop-loss-perc", "2.5", "--compound", "--max-daily-trades", "5"),
        *("--strategy-params", '{"ema_fast": 5}'),
    )
    bot = BotConfig.objects.get()
    assert (code, err) == (0, "")
    assert out == f"Created first. Start it: manage.py bots start {bot.pk}"
    assert (bot.user.username, bot.account, bot.is_active) == ("olga", account, False)
    assert (str(bot.stop_loss_perc), bot.compound, bot.max_daily_trades) == ("2.5000", True, 5)
    assert bot.strategy_params["ema_fast"] == 5


def test_a_bot_is_created_from_a_file_and_options_win(account: ExchangeAccount, tmp_path: Path) -> None:
    path = tmp_path / "bot.json"
    path.write_text('{"name": "from file", "symbol": "ETHUSDT", "account": "main", "stop_loss_perc": 0.1}')
    code, out, _ = run("create", "--user", "olga", "--file", str(path), "--name", "mine", "--json")
    assert code == 0
    assert json.loads(out)["bot"]["name"] == "mine"
    bot = BotConfig.objects.get()
    assert (bot.symbol, str(bot.stop_loss_perc)) == ("ETHUSDT", "0.1000")


def test_a_bot_is_created_from_stdin(account: ExchangeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b'{"name": "piped", "symbol": "BTCUSDT"}'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert run("create", "--user", "olga", "--account", str(account.pk), "--file", "-")[0] == 0
    assert BotConfig.objects.get().name == "piped"


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        (
            "--symbol",
            "NOPEUSDT",
            "Symbol 'NOPEUSDT' is not a USDT symbol of the paper exchange's spot market",
        ),
        ("--symbol", "OLDUSDT", "Symbol OLDUSDT does not trade now (status BREAK)"),
        ("--symbol", "btcusdt ", "Symbol 'btcusdt ' is not a USDT symbol"),
        ("--interval", "7m", "Interval must be one of 1m, 3m"),
        ("--initial-capital", "-5", "Initial capital must be a number above 0 and at most 1000000000000"),
        ("--initial-capital", "NaN", "Initial capital must be a number above 0"),
        ("--initial-capital", "1e309", "Initial capital must be a number above 0"),
        ("--initial-capital", "1,5", "Initial capital must be a number above 0"),
        ("--stop-loss-perc", "0", "Stop-loss must be a number above 0 and below 100; not '0'."),
        ("--stop-loss-perc", "100", "Stop-loss must be a number above 0 and below 100; not '100'."),
        ("--leverage", "2", "Spot has no leverage; leave it at 1."),
        ("--leverage", "126", "Leverage must be a whole number from 1 to 125; not '126'."),
        ("--position-type", "short", "Spot bots can't be short; choose long."),
        ("--market", "futures", "The list of symbols of the paper exchange is not loaded yet"),
        ("--max-daily-trades", "-1", "Daily trades limit must be a whole number from 1 to 100000; not '-1'."),
        ("--strategy", "x", "There is no strategy 'x'; choose one of ema_rsi."),
        ("--strategy-params", '{"ema_fast": 21}', "ema_fast (21) must be below ema_slow (21)."),
        ("--strategy-params", '{"ema_fast": 0}', "ema_fast must be a whole number from"),
        ("--strategy-params", '{"ema_slow": 1000000000}', "ema_slow must be a whole number from"),
        ("--strategy-params", "{", "This is not JSON (line 1, column 2)"),
        ("--strategy-params", "[]", "The JSON must be an object"),
        ("--account", "nobody's", "There is no such account; choose one of your own."),
        ("--account", "a\x00", "There is no such account; choose one of your own."),
        ("--name", "a\x00b", "Name must not contain invisible or control characters; U+0000 is one."),
        ("--name", "", "Name must not be empty; give it a name."),
        ("--user", "nobody", "There is no user 'nobody'; see the users in the admin."),
        ("--user", "a\x00", "There is no user 'a?'; see the users in the admin."),
        ("--file", "/nowhere/at-all.json", "The file '/nowhere/at-all.json' can't be read"),
        ("--file", "/", "The file '/' can't be read"),
    ],
)
def test_bad_options_end_with_2_and_a_sentence(
    account: ExchangeAccount, option: str, value: str, sentence: str
) -> None:
    assert unchanged(2, *CREATE, f"{option}={value}").startswith(sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "This is not JSON (line 1, column 1)"),
        (b"[]", 'The JSON must be an object like {"name": "value"}.'),
        (b"null", 'The JSON must be an object like {"name": "value"}.'),
        (b'{"name": "a", "name": "b"}', "The JSON has the key 'name' twice."),
        (b"\xff\xfe", "The JSON is not valid UTF-8."),
        (b'{"a":' * 10_000, "The JSON is nested too deeply."),
        (b" " * 2_000_000, "The JSON is larger than 1048576 bytes."),
        (b'{"leverage": true}', "Leverage must be a whole number from 1 to 125; not 'True'."),
        (b'{"leverage": 2.5}', "Leverage must be a whole number from 1 to 125; not '2.5'."),
        (b'{"initial_capital": 1e309}', "Initial capital must be a number above 0"),
        (b'{"initial_capital": NaN}', "The JSON has NaN, which is not a number."),
        (b'{"compound": "yes"}', "Compound must be true or false; not 'yes'."),
        (b'{"nonsense": 1}', "'nonsense' is not a setting of a bot."),
        (b'{"user": 1}', "'user' is not a setting of a bot."),
        (b'{"is_active": true}', "'is_active' is not a setting of a bot."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_file_ends_with_2_and_a_sentence(
    account: ExchangeAccount, tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "bot.json"
    path.write_bytes(content)
    assert unchanged(2, *CREATE, "--file", str(path)).startswith(sentence)


def test_another_users_account_is_answered_like_one_that_does_not_exist(account: ExchangeAccount) -> None:
    other = make_account(make_owner(), name="other")
    sentences = {unchanged(2, *CREATE, "--account", name) for name in ("other", str(other.pk), "999999")}
    assert sentences == {"There is no such account; choose one of your own."}


def test_creating_without_an_owner_or_without_symbols_says_so(db: None) -> None:
    assert unchanged(2, "create", "--name", "first") == "Name the owner of the new bot: --user NAME."
    make_account(make_owner("olga"), name="main")
    assert unchanged(2, *CREATE).startswith("The list of symbols of the paper exchange is not loaded yet")


@pytest.mark.parametrize("action", ["start", "pause", "stop", "close", "delete"])
@pytest.mark.parametrize(
    "number", ["999999", "0", "-1", "x", "1.5", "9" * 40, "\uff11", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"]
)
def test_an_unknown_id_ends_with_2_and_says_where_to_look(bot: BotConfig, action: str, number: str) -> None:
    sentence = unchanged(2, action, number)
    assert sentence == f"There is no bot '{number}'; `manage.py bots` lists them."


def test_the_bot_of_another_user_is_answered_like_one_that_does_not_exist(bot: BotConfig) -> None:
    make_owner("otto")
    sentence = unchanged(2, "start", str(bot.pk), "--user", "otto")
    assert sentence == f"There is no bot '{bot.pk}'; `manage.py bots` lists them."


def test_start_stop_and_delete(
    bot: BotConfig, woken: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    number = str(bot.pk)
    with django_capture_on_commit_callbacks(execute=True):
        assert run("start", number) == (0, "Started first.", "")
    assert woken == [(bot.pk, BotInbox.objects.get().pk)]
    assert run("pause", number) == (0, "Paused first.", "")
    put_in_position(bot)
    code, out, _ = run("stop", number, "--json")
    entry = BotInbox.objects.get(kind="stop")
    assert code == 0
    assert json.loads(out) == {"action": "stop", "id": bot.pk, "name": "first", "inbox": entry.pk}
    BotInbox.objects.all().delete()
    assert run("close", number) == (0, "Closing the position of first.", "")
    bot.state.refresh_from_db()
    bot.state.in_position, bot.state.entry_price, bot.state.current_position_size_coins = False, None, 0
    bot.state.save()
    assert run("delete", number) == (0, "Deleted first.", "")
    assert run("--json")[1] == '{"bots": []}'


def test_what_is_refused_ends_with_4(bot: BotConfig, account: ExchangeAccount) -> None:
    number = str(bot.pk)
    assert unchanged(4, "pause", number) == "Bot first is already paused."
    assert unchanged(4, "stop", number) == "Bot first is already paused and has no position."
    assert unchanged(4, "close", number) == "Bot first has no position to close."
    services.bot_start(bot=bot, by=bot.user)
    assert unchanged(4, "start", number) == "Bot first is already active."
    second = make_bot(account, name="second")
    assert unchanged(4, "start", str(second.pk)) == (
        "BTCUSDT of account main is already traded by bot first; pause that one first."
    )
    put_in_position(bot)
    assert unchanged(4, "delete", number) == "Bot first can't be deleted: it is in position. Stop it first."


def test_an_error_with_json_is_one_document_too(account: ExchangeAccount) -> None:
    code, out, err = run(*CREATE, "--stop-loss-perc", "100", "--json")
    sentence = "Stop-loss must be a number above 0 and below 100; not '100'."
    assert (code, err) == (2, sentence)
    assert json.loads(out) == {"error": sentence, "fields": {"stop_loss_perc": sentence}}


def test_ctrl_c_ends_with_130_and_changes_nothing(bot: BotConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(services, "_claim", interrupted)
    assert unchanged(130, "start", str(bot.pk)) == "Stopped."


@pytest.mark.django_db(transaction=True)
def test_as_a_process_it_writes_the_sentence_alone(bot: BotConfig) -> None:
    from tests.support.environment import child_environment

    done = subprocess.run(
        [sys.executable, "manage.py", "bots", "start", "999999"],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no bot '999999'; `manage.py bots` lists them.\n"
    done = subprocess.run(
        [sys.executable, "manage.py", "bots", "dance"],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "invalid choice: 'dance'" in done.stderr
