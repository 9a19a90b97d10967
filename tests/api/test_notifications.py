"""Channels and deliveries through the API: made, changed, tested, and a secret that is answered once only."""

from __future__ import annotations

from typing import Any

import pytest

from bots.models import BotConfig
from bots.notifications.models import ChannelSecret, Delivery, NotificationChannel
from bots.notifications.services import TESTS_WAITING, new_secret, read_secrets
from tests.api.support import Api, error_of, make_channel
from tests.support.owners import make_account, make_bot, make_owner, row_counts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("public_names", "delivered")]

CHANNELS, DELIVERIES = "notifications/channels/", "notifications/deliveries/"
HOOK = {"name": "hook", "kind": "webhook", "target": "https://example.com/hook", "events": ["trade"]}
MAIL = {"name": "mail", "kind": "email", "target": "olga@example.com", "events": ["daily_summary"]}


def test_a_new_webhook_answers_its_secret_once(api: Api, owner: Any) -> None:
    response = api.post(CHANNELS, HOOK)
    channel = NotificationChannel.objects.get()
    answer = response.json()
    assert response.status_code == 201
    assert response["Location"].endswith(f"/api/v1/{CHANNELS}{channel.pk}/")
    assert response["Cache-Control"] == "no-store"
    assert answer == HOOK | {
        "id": channel.pk,
        "user": owner.pk,
        "bot": None,
        "is_active": True,
        "last_result": "",
        "last_at": None,
        "created_at": answer["created_at"],
        "secret": read_secrets(channel)[0].reveal(),
    }
    shown = {name: value for name, value in answer.items() if name != "secret"}
    assert api.get(f"{CHANNELS}{channel.pk}/") == shown
    assert api.get(CHANNELS)["results"] == [shown]


def test_a_secret_is_in_no_answer_but_the_one_that_made_it(api: Api) -> None:
    first = api.post(CHANNELS, HOOK).json()
    path = f"{CHANNELS}{first['id']}/"
    rotated = api.post(f"{path}rotate/")
    second = rotated.json()["secret"]
    assert (rotated.status_code, rotated["Cache-Control"]) == (200, "no-store")
    channel = NotificationChannel.objects.get()
    assert [each.reveal() for each in read_secrets(channel)] == [second, first["secret"]]
    own = new_secret()
    answers = [
        api.send("GET", CHANNELS),
        api.send("GET", path),
        api.patch(path, {"name": "other"}),
        api.patch(path, {"secret": own}),
        api.post(f"{path}test/"),
        api.send("GET", DELIVERIES),
        api.post(f"{path}rotate/", {"secret": second}),
        api.post(f"{path}rotate/", {"secret": own}),
        api.post(f"{path}rotate/", {"secret": own + "!"}),
        api.post(CHANNELS, HOOK | {"name": "third", "secret": own}),
        api.post(CHANNELS, MAIL | {"secret": own}),
    ]
    assert [each.status_code for each in answers] == [200, 200, 200, 400, 202, 200, 400, 200, 400, 201, 400]
    for answer in answers:
        text = answer.content.decode()
        assert "whsec_ and" in text or "whsec_" not in text
        assert not any(secret[6:] in text for secret in (first["secret"], second, own))
    assert [answers[7].json()["secret"], answers[9].json()["secret"]] == [None, None]
    assert read_secrets(channel)[0].reveal() == own


def test_an_email_channel_has_no_secret_to_rotate(api: Api) -> None:
    answer = api.post(CHANNELS, MAIL)
    assert (answer.status_code, answer.json()["secret"]) == (201, None)
    error = error_of(api.post(f"{CHANNELS}{answer.json()['id']}/rotate/"), 400)
    assert list(error["fields"]) == ["secret"]
    assert not ChannelSecret.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"target": "http://example.com/hook"}, "target"),
        ({"target": "https://127.0.0.1/"}, "target"),
        ({"target": "https://10.1.2.3/"}, "target"),
        ({"target": "https://169.254.169.254/latest"}, "target"),
        ({"target": "https://[::1]/"}, "target"),
        ({"target": "https://2130706433/"}, "target"),
        ({"target": "https://example.com:8443/"}, "target"),
        ({"target": "https://user:word@example.com/"}, "target"),
        ({"target": "olga@example.com"}, "target"),
        ({"target": None}, "target"),
        ({"target": ["https://example.com/"]}, "target"),
        ({"events": ["trade", "party"]}, "events"),
        ({"events": [{}]}, "events"),
        ({"events": []}, "events"),
        ({"events": "trade"}, "events"),
        ({"events": None}, "events"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "old"}, "name"),
        ({"is_active": 1}, "is_active"),
        ({"bot": 10**17}, "bot"),
        ({"bot": True}, "bot"),
        ({"bot": "1"}, "bot"),
        ({"bot": [1]}, "bot"),
        ({"user": 1}, "user"),
        ({"last_result": "x"}, "last_result"),
        ({"waits_until": None}, "waits_until"),
        ({"colour": "red"}, "colour"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_channel_is_400_at_its_field_and_changes_nothing(
    api: Api, owner: Any, changes: dict[str, Any], field: str
) -> None:
    make_channel(owner, name="old")
    channel = make_channel(owner, **HOOK | {"name": "present"})
    before, counts = list(NotificationChannel.objects.values()), row_counts()
    assert list(error_of(api.post(CHANNELS, HOOK | changes), 400)["fields"]) == [field]
    assert list(error_of(api.patch(f"{CHANNELS}{channel.pk}/", changes), 400)["fields"]) == [field]
    assert (list(NotificationChannel.objects.values()), row_counts()) == (before, counts)


def test_a_name_that_leads_into_a_private_network_is_400(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradebot.webhooks.resolve_name", lambda host, port: ["93.184.215.14", "10.0.0.1"])
    assert list(error_of(api.post(CHANNELS, HOOK), 400)["fields"]) == ["target"]


def test_what_a_channel_needs_is_named_and_its_kind_stays(api: Api, owner: Any) -> None:
    assert list(error_of(api.post(CHANNELS, {}), 400)["fields"]) == ["name", "kind", "target", "events"]
    assert list(error_of(api.post(CHANNELS, HOOK | {"kind": "pigeon"}), 400)["fields"]) == ["kind"]
    path = f"{CHANNELS}{make_channel(owner).pk}/"
    assert "can only be read" in error_of(api.patch(path, {"kind": "webhook"}), 400)["fields"]["kind"]
    error_of(api.put(path, MAIL), 405)


def test_another_users_bot_and_a_deleted_one_are_no_bots(api: Api, bot: BotConfig) -> None:
    foreign = make_bot(make_account(make_owner("eve")), name="eve's")
    BotConfig.objects.filter(pk=bot.pk).update(deleted_at=bot.created_at)
    path = f"{CHANNELS}{make_channel(bot.user).pk}/"
    for number in (foreign.pk, bot.pk):
        for answer in (api.post(CHANNELS, HOOK | {"bot": number}), api.patch(path, {"bot": number})):
            assert error_of(answer, 400)["fields"] == {"bot": "There is no such bot; choose one of your own."}


def test_a_channel_is_changed_setting_by_setting_and_deleted(api: Api, bot: BotConfig) -> None:
    path = f"{CHANNELS}{make_channel(bot.user).pk}/"
    changed = api.patch(path, {"bot": bot.pk, "events": ["limit", "trade"], "is_active": False})
    assert changed.status_code == 200
    assert changed.json() | {"bot": bot.pk, "events": ["trade", "limit"]} == changed.json()
    assert (changed.json()["name"], changed.json()["is_active"]) == ("mine", False)
    assert api.patch(path, {"bot": None}).json()["bot"] is None
    assert api.delete(path).status_code == 204
    error_of(api.send("GET", path), 404)


def test_a_superusers_channel_for_a_bot_belongs_to_the_bots_owner(bot: BotConfig) -> None:
    root = Api(make_owner(superuser=True))
    assert root.post(CHANNELS, HOOK | {"bot": bot.pk}).json()["user"] == bot.user_id


def test_a_test_is_202_and_asks_for_delivery_after_the_commit(
    api: Api, owner: Any, delivered: list[bool], django_capture_on_commit_callbacks: Any
) -> None:
    channel = make_channel(owner)
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(f"{CHANNELS}{channel.pk}/test/")
        assert delivered == []
    assert (answer.status_code, delivered) == (202, [True])
    found = answer.json()
    assert (found["channel"], found["event"], found["state"]) == (channel.pk, "test", "pending")
    assert found["message_id"] == Delivery.objects.get().message.message_id
    assert answer["Location"].endswith(f"/api/v1/{DELIVERIES}{found['id']}/")
    assert api.get(f"{DELIVERIES}{found['id']}/") == found
    error_of(api.post(f"{CHANNELS}{channel.pk}/test/", {"text": "x"}), 400)
    for _ in range(TESTS_WAITING - 1):
        assert api.post(f"{CHANNELS}{channel.pk}/test/").status_code == 202
    error_of(api.post(f"{CHANNELS}{channel.pk}/test/"), 409)


def test_deliveries_are_filtered_and_can_only_be_read(api: Api, owner: Any) -> None:
    one, other = make_channel(owner), make_channel(owner, name="other")
    ids = [api.post(f"{CHANNELS}{channel.pk}/test/").json()["id"] for channel in (one, other, other)]
    Delivery.objects.filter(pk=ids[1]).update(state="dead", last_error="answered 500")
    listed = [row["id"] for row in api.get(DELIVERIES)["results"]]
    assert listed == ids[::-1]
    assert [row["id"] for row in api.get(f"{DELIVERIES}?channel={one.pk}")["results"]] == ids[:1]
    query = f"{DELIVERIES}?channel={other.pk}&state=dead"
    assert [row["last_error"] for row in api.get(query)["results"]] == ["answered 500"]
    for query in ("state=lost", "channel=x", "colour=red"):
        error_of(api.send("GET", f"{DELIVERIES}?{query}"), 400)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        error_of(api.send(method, DELIVERIES, {}), 405)
        error_of(api.send(method, f"{DELIVERIES}{ids[0]}/", {}), 405)


def test_another_users_channel_is_404_and_its_deliveries_are_not_listed(api: Api) -> None:
    foreign = make_channel(make_owner("eve"), **HOOK)
    Api(foreign.user).post(f"{CHANNELS}{foreign.pk}/test/")
    for action in ("test/", "rotate/"):
        error_of(api.post(f"{CHANNELS}{foreign.pk}/{action}"), 404)
    assert api.get(f"{DELIVERIES}?channel={foreign.pk}")["results"] == []
    assert api.get(CHANNELS)["results"] == []
    assert (Delivery.objects.count(), len(read_secrets(foreign))) == (1, 1)
