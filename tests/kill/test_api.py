"""Kill switches through the API: set, read, lifted; what is somebody else's; bad bodies; what is sent on."""

from __future__ import annotations

from typing import Any

import pytest

from bots.models import BotInbox
from tests.api.support import Api, error_of
from tests.support.owners import load_symbols, make_account, make_bot, make_owner, put_in_position, row_counts
from trading.models import KillSwitch

pytestmark = pytest.mark.django_db
KILL = "kill-switches/"


@pytest.fixture
def owner() -> Any:
    return make_owner("olga")


@pytest.fixture
def api(owner: Any) -> Api:
    return Api(owner)


@pytest.fixture
def bot(owner: Any) -> Any:
    load_symbols()
    return make_bot(make_account(owner, name="main"), name="first")


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What was sent to workers; nothing is."""
    calls: dict[str, list[Any]] = {"wake": [], "carry_out": []}
    monkeypatch.setattr("bots.api.kill_switches.wake_bots", lambda ids: calls["wake"].append(list(ids)))
    monkeypatch.setattr(
        "bots.api.kill_switches.carry_out_kill_switch.send", lambda pk: calls["carry_out"].append(pk)
    )
    return calls


def test_a_switch_is_set_read_and_lifted(api, bot, sent, django_capture_on_commit_callbacks):
    put_in_position(bot)
    body = {"scope": "account", "account": bot.account_id, "level": "flatten", "reason": "bad news"}
    with django_capture_on_commit_callbacks(execute=True):
        made = api.post(KILL, body)
    row = KillSwitch.objects.get()
    assert made.status_code == 201
    assert made["Location"].endswith(f"/api/v1/{KILL}{row.pk}/")
    shown = made.json()
    assert shown == {
        "id": row.pk,
        "scope": "account",
        "user": bot.user_id,
        "account": bot.account_id,
        "bot": None,
        "market": "",
        "symbol": "",
        "level": "flatten",
        "reason": "bad news",
        "set_by": bot.user_id,
        "set_at": shown["set_at"],
        "drained_at": shown["drained_at"],
        "lifted_by": None,
        "lifted_at": None,
    }
    assert shown["drained_at"] is not None
    assert sent == {"wake": [[BotInbox.objects.get().pk]] * 2, "carry_out": []}
    assert api.get(f"{KILL}{row.pk}/") == shown
    assert api.get(f"{KILL}?in_force=true")["results"] == [shown]
    assert api.get(f"{KILL}?in_force=false")["results"] == []
    lifted = api.post(f"{KILL}{row.pk}/lift/", {"reason": "over"})
    assert (lifted.status_code, lifted.json()["lifted_by"]) == (200, bot.user_id)
    assert api.get(f"{KILL}?in_force=true&scope=account")["results"] == []
    assert api.get(f"{KILL}?in_force=false&account={bot.account_id}")["results"] == [lifted.json()]
    error_of(api.post(f"{KILL}{row.pk}/lift/"), 409)


def test_what_is_not_drained_within_a_second_is_gone_on_with(
    api, bot, sent, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr("trading.kill.barrier", lambda switch, wait_seconds: False)
    with django_capture_on_commit_callbacks(execute=True):
        made = api.post(KILL, {"scope": "bot", "bot": bot.pk, "reason": "bad news"})
    assert (made.status_code, made.json()["drained_at"]) == (201, None)
    assert sent["carry_out"] == [made.json()["id"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "scope"),
        ({"scope": "all", "reason": "x"}, "scope"),
        ({"scope": "bot", "bot": "FOREIGN", "reason": "x"}, "bot"),
        ({"scope": "account", "account": "FOREIGN", "reason": "x"}, "account"),
        ({"scope": "owner", "user": "FOREIGN", "reason": "x"}, "user"),
        ({"scope": "symbol", "symbol": "BTCUSDT", "reason": "x"}, "account"),
        ({"scope": "owner", "reason": ""}, "reason"),
        ({"scope": "owner", "reason": 5}, "reason"),
        ({"scope": "owner", "reason": "x", "level": "LOUD"}, "level"),
        ({"scope": "owner", "reason": "x", "set_at": "2026-01-01T00:00:00Z"}, "set_at"),
        ({"scope": "owner", "reason": "x", "lifted_at": None}, "lifted_at"),
        ({"scope": "owner", "reason": "x", "strange": 1}, "strange"),
        ({"scope": ["owner"], "reason": "x"}, "scope"),
        ({"scope": {"a": 1}, "reason": "x"}, "scope"),
        ({"scope": "bot", "bot": 1.5, "reason": "x"}, "bot"),
        ({"scope": "bot", "bot": [1], "reason": "x"}, "bot"),
        ({"scope": "symbol", "symbol": {"a": 1}, "account": "OWN", "reason": "x"}, "symbol"),
        ({"scope": "symbol", "symbol": "BTCUSDT", "market": [], "account": "OWN", "reason": "x"}, "market"),
    ],
)
def test_a_bad_body_names_its_field_and_stores_nothing(api, bot, body, field):
    foreign = make_bot(make_account(make_owner("eve"), name="eve's"), name="eve's")
    row_ids = {"bot": foreign.pk, "account": foreign.account_id, "user": foreign.user_id}
    body = {name: row_ids[name] if value == "FOREIGN" else value for name, value in body.items()}
    body = {name: bot.account_id if value == "OWN" else value for name, value in body.items()}
    before = row_counts()
    assert field in error_of(api.post(KILL, body), 400)["fields"]
    assert row_counts() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"scope": "owner", "scope": "all"}', b"\xff"])
def test_what_is_no_object_is_refused(api, body):
    error_of(api.send("POST", KILL, body), 400)
    assert not KillSwitch.objects.exists()


def test_somebody_elses_switch_is_not_there_and_everything_is_a_superusers(api, bot):
    eve, root = Api(make_owner("eve")), Api(make_owner(superuser=True))
    row = api.post(KILL, {"scope": "owner", "reason": "mine"}).json()
    everything = root.post(KILL, {"scope": "all", "reason": "all of it"}).json()
    for client, switch in ((eve, row), (eve, everything), (api, everything)):
        error_of(client.send("GET", f"{KILL}{switch['id']}/"), 404)
        error_of(client.post(f"{KILL}{switch['id']}/lift/"), 404)
    assert api.get(KILL)["results"] == [row]
    assert [each["id"] for each in root.get(KILL)["results"]] == [everything["id"], row["id"]]
    assert not KillSwitch.objects.filter(lifted_at__isnull=False).exists()
    theirs = root.post(KILL, {"scope": "bot", "bot": bot.pk, "reason": "watched"}).json()
    assert theirs["user"] == bot.user_id
    assert "set by an operator" in error_of(api.post(f"{KILL}{theirs['id']}/lift/"), 409)["message"]
    assert root.post(f"{KILL}{everything['id']}/lift/").status_code == 200


@pytest.mark.parametrize(
    "query", ["in_force=maybe", "scope=x", "bot=-1", "ordering=user__password", "nothing=1"]
)
def test_a_bad_filter_is_400(api, query):
    error_of(api.send("GET", f"{KILL}?{query}"), 400)


def test_without_a_token_there_is_nothing():
    error_of(Api().post(KILL, {"scope": "all", "reason": "x"}), 401)
    assert not KillSwitch.objects.exists()
