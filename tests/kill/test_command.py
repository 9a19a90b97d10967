"""manage.py kill_switch: every action, its exit code, and that bad input changes nothing."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.support.owners import (
    load_symbols,
    make_account,
    make_bot,
    make_owner,
    make_request,
    put_in_position,
    row_counts,
)
from trading.models import AuditEntry, KillSwitch

pytestmark = pytest.mark.django_db
ON_ALL = ("on", "--scope", "all", "--reason", "bad news", "--wait", "0")


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `manage.py kill_switch ...`."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command("kill_switch", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, out.getvalue().strip(), err.getvalue().strip()


@pytest.fixture
def bot() -> Any:
    load_symbols()
    return make_bot(make_account(make_owner("olga"), name="main"), name="first")


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was sent to workers; nothing is."""
    calls: list[Any] = []
    where = "bots.management.commands.kill_switch"
    monkeypatch.setattr(f"{where}.wake_bots", lambda ids: calls.append(list(ids)))
    monkeypatch.setattr(f"{where}.deliver_soon", lambda: None)
    monkeypatch.setattr(f"{where}.carry_out_kill_switch.send", lambda pk: calls.append(pk))
    return calls


def test_on_says_what_it_covers_and_that_it_is_drained(bot):
    code, out, err = run(*ON_ALL)
    number = KillSwitch.objects.get().pk
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"Kill switch {number} (all) is on for 1 bots: no_entries.",
        "Drained: no entry of these bots is on its way to the exchange.",
    ]
    assert AuditEntry.objects.get().user is None


def test_json_is_one_document(bot):
    make_request(bot, state="UNKNOWN")
    code, out, _ = run(*ON_ALL, "--json")
    document = json.loads(out)
    row = KillSwitch.objects.get()
    assert code == 0
    assert document == {
        "action": "on",
        "switch": {
            "id": row.pk,
            "scope": "all",
            "key": "all",
            "level": "no_entries",
            "reason": "bad news",
            "bots": 1,
            "entries_left": 1,
            "set_at": row.set_at.isoformat(),
            "drained_at": row.drained_at.isoformat(),
            "lifted_at": None,
        },
    }
    code, out, _ = run("status", "--json")
    assert (code, json.loads(out)) == (0, {"switches": [document["switch"]]})


def test_an_entry_still_on_its_way_is_exit_code_3_and_an_actor_goes_on(bot, sent, monkeypatch):
    monkeypatch.setattr("trading.kill.barrier", lambda switch, wait_seconds: False)
    code, out, _ = run(*ON_ALL)
    assert code == 3
    assert "Not drained" in out
    assert sent == [KillSwitch.objects.get().pk]
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (("--scope", "owner", "--owner", "olga"), "owner:{user}"),
        (("--scope", "account", "--account", "{account}"), "account:{account}"),
        (("--scope", "bot", "--bot", "{bot}"), "bot:{bot}"),
        (("--scope", "symbol", "--symbol", "BTCUSDT"), "symbol:spot:BTCUSDT"),
        (
            ("--scope", "symbol", "--symbol", "BTCUSDT", "--market", "futures", "--account", "{account}"),
            "symbol:futures:BTCUSDT:account:{account}",
        ),
    ],
)
def test_every_scope_is_set_shown_and_lifted_by_its_scope(bot, options, key):
    row_ids = {"user": bot.user_id, "account": bot.account_id, "bot": bot.pk}
    named = [option.format(**row_ids) for option in options]
    assert run("on", *named, "--reason", "x", "--wait", "0")[0] == 0
    assert KillSwitch.objects.get().key == key.format(**row_ids)
    assert key.format(**row_ids) in run()[1]
    code, out, _ = run("off", *named, "--reason", "over")
    assert (code, "is lifted" in out) == (0, True)
    assert run("status")[1] == "No kill switch is on."
    assert AuditEntry.objects.first().reason == "over"


def test_off_by_number_and_twice_is_refused(bot):
    run(*ON_ALL)
    number = str(KillSwitch.objects.get().pk)
    assert run("off", number)[0] == 0
    code, _, err = run("off", number)
    assert (code, err) == (4, f"Kill switch {number} was lifted already.")


def test_flatten_wakes_the_bots(bot, sent, django_capture_on_commit_callbacks):
    put_in_position(bot)
    with django_capture_on_commit_callbacks(execute=True):
        assert run(*ON_ALL, "--level", "flatten")[0] == 0
    assert sent == [[bot.inbox.get().pk]] * 2


def test_as_a_user_with_that_users_rights_only(bot):
    make_owner("eve")
    run(*ON_ALL)
    assert run("on", "--scope", "owner", "--reason", "x", "--wait", "0", "--as", "olga")[0] == 0
    assert run("status", "--as", "eve")[1] == "No kill switch is on."
    code, _, err = run("on", "--scope", "bot", "--bot", str(bot.pk), "--reason", "x", "--as", "eve")
    assert (code, err) == (2, "There is no such bot; choose one of your own.")
    code, _, err = run("off", str(KillSwitch.objects.get(scope="all").pk), "--as", "olga")
    assert code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("on",),
        ("on", "--scope", "planet", "--reason", "x"),
        ("on", "--scope", "all"),
        ("on", "--scope", "all", "--reason", ""),
        ("on", "--scope", "all", "--reason", "a\x00b"),
        ("on", "--scope", "all", "--reason", "x", "--level", "loud"),
        ("on", "--scope", "all", "--reason", "x", "--bot", "1"),
        ("on", "--scope", "bot", "--reason", "x"),
        ("on", "--scope", "bot", "--bot", "abc", "--reason", "x"),
        ("on", "--scope", "bot", "--bot", "-1", "--reason", "x"),
        ("on", "--scope", "bot", "--bot", "9" * 30, "--reason", "x"),
        ("on", "--scope", "owner", "--reason", "x"),
        ("on", "--scope", "owner", "--owner", "nobody", "--reason", "x"),
        ("on", "--scope", "owner", "--owner", "a\x00b", "--reason", "x"),
        ("on", "--scope", "symbol", "--reason", "x"),
        ("on", "--scope", "symbol", "--symbol", "BTC/USDT", "--reason", "x"),
        ("on", "--scope", "symbol", "--symbol", "BTCUSDT", "--market", "margin", "--reason", "x"),
        (*ON_ALL[:-1], "-5"),
        (*ON_ALL[:-1], "1e9"),
        (*ON_ALL[:-1], "NaN"),
        (*ON_ALL, "--as", "nobody"),
        ("off",),
        ("off", "999999"),
        ("off", "abc"),
        ("off", "-1"),
        ("off", "--scope", "all"),
    ],
)
def test_bad_input_is_exit_code_2_one_sentence_and_changes_nothing(bot, arguments):
    before = row_counts()
    try:
        code, out, err = run(*arguments)
    except CommandError:  # argparse's own, exit code 2 from the shell
        code, out, err = 2, "", "usage."
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.endswith(".")
    assert row_counts() == before
