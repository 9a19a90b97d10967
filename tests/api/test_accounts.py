"""Accounts through the API: keys go in and never come out, and the environment stays."""

from __future__ import annotations

from typing import Any

import pytest

from bots import services
from bots.models import BotConfig
from tests.api.support import Api, error_of
from tests.support.owners import make_account, make_bot, make_owner, row_counts
from trading.accounts import read_key
from trading.models import ExchangeAccount, ExchangeSecret

pytestmark = pytest.mark.django_db

KEY = "CANARYkey".ljust(64, "K")
SECRET = "CANARYsecret".ljust(64, "S")


def test_a_paper_account_needs_a_name_only(api: Api, owner: Any) -> None:
    response = api.post("accounts/", {"name": "main"})
    assert response.status_code == 201
    account = ExchangeAccount.objects.get()
    created_at = response.json()["created_at"]
    assert response.json() == {
        "id": account.pk,
        "user": owner.pk,
        "name": "main",
        "environment": "paper",
        "is_exclusive": True,
        "created_at": created_at,
        "has_key": True,
    }
    assert response["Location"].endswith(f"/api/v1/accounts/{account.pk}/")
    assert read_key(account)[0].reveal().startswith("paper")


def test_keys_go_in_and_never_come_out(api: Api) -> None:
    body = {"name": "test", "environment": "testnet", "api_key": KEY, "api_secret": SECRET}
    answers = [api.post("accounts/", body)]
    account = ExchangeAccount.objects.get()
    assert [secret.reveal() for secret in read_key(account)] == [KEY, SECRET]
    key_hash = ExchangeSecret.objects.get().key_hash
    answers += [api.send("GET", "accounts/"), api.send("GET", f"accounts/{account.pk}/")]
    answers += [api.patch(f"accounts/{account.pk}/", {"api_key": KEY, "api_secret": KEY})]
    answers += [api.post("accounts/", body), api.patch(f"accounts/{account.pk}/", {"api_key": [KEY]})]
    answers += [api.post("accounts/", body | {"name": 7, KEY[:30]: 1, "api_key": KEY + " "})]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 400, 400, 400, 400]
    for answer in answers[:-1]:
        text = answer.content.decode()
        assert "CANARY" not in text
        assert key_hash not in text
        assert "gAAAA" not in text
    assert SECRET[:20] not in answers[-1].content.decode()


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": None}, ["name"]),
        ({"name": "a\u202e"}, ["name"]),
        ({"name": "a\x00"}, ["name"]),
        ({"name": "x" * 100_000}, ["name"]),
        ({"name": "x", "environment": "demo"}, ["environment"]),
        ({"name": "x", "environment": ["paper"]}, ["environment"]),
        ({"name": "x", "environment": None}, ["environment"]),
        ({"name": "x", "is_exclusive": "yes"}, ["is_exclusive"]),
        ({"name": "x", "is_exclusive": 1}, ["is_exclusive"]),
        ({"name": "x", "user": 1}, ["user"]),
        ({"name": "x", "owner": 1}, ["owner"]),
        ({"name": "x", "has_key": True}, ["has_key"]),
        ({"name": "x", "key_hash": "x"}, ["key_hash"]),
        ({"name": "x", "environment": "testnet"}, ["api_key"]),
        ({"name": "x", "environment": "testnet", "api_key": KEY}, ["api_secret"]),
        ({"name": "x", "environment": "testnet", "api_key": KEY[:63], "api_secret": SECRET}, ["api_key"]),
        (
            {"name": "x", "environment": "testnet", "api_key": KEY[:63] + " ", "api_secret": SECRET},
            ["api_key"],
        ),
        ({"name": "x", "environment": "testnet", "api_key": KEY + "\n", "api_secret": SECRET}, ["api_key"]),
        (
            {"name": "x", "environment": "testnet", "api_key": KEY[:63] + "😀", "api_secret": SECRET},
            ["api_key"],
        ),
        ({"name": "x", "environment": "testnet", "api_key": KEY, "api_secret": KEY}, ["api_secret"]),
        ({"name": "x", "api_key": None}, ["api_key"]),
        ({"name": "x", "api_key": 7, "api_secret": {}}, ["api_key", "api_secret"]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_account_is_400_at_its_field_and_changes_nothing(
    api: Api, owner: Any, body: dict[str, Any], fields: list[str]
) -> None:
    account = make_account(owner, name="old")
    before = row_counts()
    row, key = ExchangeAccount.objects.values().get(), read_key(account)
    error = error_of(api.post("accounts/", body), 400)
    assert list(error["fields"]) == fields
    assert "CANARY" not in str(error)
    if body and "api_key" not in body and body.get("environment") != "testnet":
        error_of(api.patch(f"accounts/{account.pk}/", body), 400)
    assert row_counts() == before
    assert (ExchangeAccount.objects.values().get(), read_key(account)) == (row, key)


def test_name_and_exclusiveness_can_change_and_the_key_stays(api: Api, account: ExchangeAccount) -> None:
    key = read_key(account)
    changed = api.patch(f"accounts/{account.pk}/", {"name": "new", "is_exclusive": False}).json()
    assert (changed["name"], changed["is_exclusive"], changed["environment"]) == ("new", False, "paper")
    put = api.put(f"accounts/{account.pk}/", {"name": "newer", "environment": "paper"}).json()
    assert (put["name"], put["is_exclusive"]) == ("newer", True)
    assert read_key(account) == key
    error_of(api.put(f"accounts/{account.pk}/", {}), 400)


def test_a_new_key_replaces_the_old_one_and_half_a_key_does_not(api: Api, account: ExchangeAccount) -> None:
    before = read_key(account)
    error = error_of(api.patch(f"accounts/{account.pk}/", {"name": "x", "api_key": KEY}), 400)
    assert list(error["fields"]) == ["api_secret"]
    account.refresh_from_db()
    assert (read_key(account), account.name) == (before, "main")
    assert api.patch(f"accounts/{account.pk}/", {"api_key": KEY, "api_secret": SECRET}).status_code == 200
    assert [secret.reveal() for secret in read_key(account)] == [KEY, SECRET]


def test_the_environment_never_changes(api: Api, account: ExchangeAccount) -> None:
    for value in ("live", "testnet", "demo", None, 7, ["paper"]):
        error = error_of(api.patch(f"accounts/{account.pk}/", {"environment": value, "name": "x"}), 400)
        assert "never changes: it is paper" in error["fields"]["environment"]
    account.refresh_from_db()
    assert (account.environment, account.name) == ("paper", "main")


def test_a_key_or_name_that_is_taken_is_refused(api: Api, account: ExchangeAccount) -> None:
    make_account(make_owner(), environment="testnet", api_key=KEY, api_secret=SECRET)
    body = {"name": "x", "environment": "testnet", "api_key": KEY, "api_secret": SECRET}
    error = error_of(api.post("accounts/", body), 400)
    assert error["fields"] == {
        "api_key": "This API key belongs to another account already; use a key once only."
    }
    assert list(error_of(api.post("accounts/", {"name": "main"}), 400)["fields"]) == ["name"]


def test_an_account_without_bots_is_deleted_with_its_key(api: Api, account: ExchangeAccount) -> None:
    assert api.delete(f"accounts/{account.pk}/").status_code == 204
    assert not ExchangeAccount.objects.exists()
    assert not ExchangeSecret.objects.exists()


def test_an_account_that_has_or_had_bots_stays(api: Api, bot: BotConfig) -> None:
    path = f"accounts/{bot.account_id}/"
    make_bot(bot.account, name="second")
    error = error_of(api.delete(path), 409)
    assert error["message"] == (
        "Account main can't be deleted: it has bots (first, second); delete them first."
    )
    for each in BotConfig.objects.all():
        services.bot_delete(bot=each, by=each.user)
    error = error_of(api.delete(path), 409)
    assert error["message"] == "Account main can't be deleted: the journal of its bots stays."
    assert ExchangeAccount.objects.count() == ExchangeSecret.objects.count() == 1


def test_accounts_are_filtered_by_environment(api: Api, account: ExchangeAccount) -> None:
    make_account(account.user, environment="testnet", name="test")
    assert [row["name"] for row in api.get("accounts/?environment=testnet")["results"]] == ["test"]
    assert [row["name"] for row in api.get("accounts/?ordering=-name")["results"]] == ["test", "main"]
    error_of(api.send("GET", "accounts/?environment=demo"), 400)


def test_a_broken_secret_breaks_no_answer(api: Api, account: ExchangeAccount) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE trading_exchangesecret SET api_key = 'rubbish'")
    assert api.get("accounts/")["results"][0]["has_key"] is True
    assert api.patch(f"accounts/{account.pk}/", {"api_key": KEY, "api_secret": SECRET}).status_code == 200
