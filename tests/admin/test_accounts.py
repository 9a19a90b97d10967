"""Accounts in the admin: keys go in and never come out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from tests.admin.support import errors_of, page
from tests.support.owners import make_account, make_bot, make_owner, row_counts
from trading.accounts import account_create, read_key
from trading.models import ExchangeAccount, ExchangeSecret

pytestmark = pytest.mark.django_db

KEY = "CANARYkey".ljust(64, "K")
SECRET = "CANARYsecret".ljust(64, "S")
LIST, ADD = "admin:trading_exchangeaccount_changelist", "admin:trading_exchangeaccount_add"
CHANGE = "admin:trading_exchangeaccount_change"


def form(**changes: str) -> dict[str, str]:
    return {"name": "main", "environment": "paper", "is_exclusive": "on"} | changes


def test_a_paper_account_needs_a_name_only(browser: Client, owner: Any) -> None:
    assert browser.post(reverse(ADD), form()).status_code == 302
    account = ExchangeAccount.objects.get()
    assert (account.user, account.environment, account.is_exclusive) == (owner, "paper", True)
    assert read_key(account)[0].reveal().startswith("paper")


def test_a_testnet_account_is_stored_with_its_key(browser: Client, owner: Any) -> None:
    browser.post(reverse(ADD), form(environment="testnet", api_key=KEY, api_secret=SECRET))
    assert [secret.reveal() for secret in read_key(ExchangeAccount.objects.get())] == [KEY, SECRET]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\u202e"}, "name"),
        ({"name": "x" * 100_000}, "name"),
        ({"environment": "demo"}, "environment"),
        ({"environment": "testnet"}, "api_key"),
        ({"environment": "testnet", "api_key": KEY}, "api_secret"),
        ({"environment": "testnet", "api_key": KEY[:63], "api_secret": SECRET}, "api_key"),
        ({"environment": "testnet", "api_key": KEY[:63] + " ", "api_secret": SECRET}, "api_key"),
        ({"environment": "testnet", "api_key": KEY + "\n", "api_secret": SECRET}, "api_key"),
        ({"environment": "testnet", "api_key": KEY[:63] + "😀", "api_secret": SECRET}, "api_key"),
        ({"environment": "testnet", "api_key": KEY[:63] + "\x00", "api_secret": SECRET}, "api_key"),
        ({"environment": "testnet", "api_key": KEY, "api_secret": KEY}, "api_secret"),
        ({"environment": "live", "api_secret": SECRET}, "api_key"),
    ],
    ids=str,
)
def test_a_bad_account_is_an_error_at_its_field_and_shows_no_key(
    browser: Client, changes: dict[str, str], field: str
) -> None:
    before = row_counts()
    response = browser.post(reverse(ADD), form(**changes))
    assert list(errors_of(response)) == [field]
    assert b"CANARY" not in response.content
    assert row_counts() == before


def test_a_key_of_another_account_is_refused(browser: Client) -> None:
    make_account(make_owner(), environment="testnet", api_key=KEY, api_secret=SECRET)
    before = row_counts()
    errors = errors_of(
        browser.post(reverse(ADD), form(environment="testnet", api_key=KEY, api_secret=SECRET))
    )
    assert errors == {"api_key": ["This API key belongs to another account already; use a key once only."]}
    assert row_counts() == before


def test_empty_key_fields_keep_the_key_and_the_environment_never_changes(
    browser: Client, account: ExchangeAccount
) -> None:
    before = [secret.reveal() for secret in read_key(account)]
    url = reverse(CHANGE, args=[account.pk])
    assert browser.post(url, form(name="renamed", environment="live")).status_code == 302
    account.refresh_from_db()
    assert (account.name, account.environment) == ("renamed", "paper")
    assert [secret.reveal() for secret in read_key(account)] == before


def test_a_new_key_replaces_the_old_one(browser: Client, account: ExchangeAccount) -> None:
    url = reverse(CHANGE, args=[account.pk])
    assert browser.post(url, form(api_key=KEY, api_secret=SECRET)).status_code == 302
    assert [secret.reveal() for secret in read_key(account)] == [KEY, SECRET]


def test_half_a_new_key_is_an_error_and_keeps_the_old_one(browser: Client, account: ExchangeAccount) -> None:
    before = [secret.reveal() for secret in read_key(account)]
    errors = errors_of(browser.post(reverse(CHANGE, args=[account.pk]), form(api_key=KEY)))
    assert errors == {"api_secret": ["API secret is missing; copy it from the exchange."]}
    assert [secret.reveal() for secret in read_key(account)] == before


def test_the_key_fields_are_write_only(browser: Client, account: ExchangeAccount) -> None:
    text = page(browser, CHANGE, account.pk)
    for name in ("api_key", "api_secret"):
        field = text.split(f'name="{name}"')[0].rsplit("<input", 1)[1] + text.split(f'name="{name}"')[1]
        tag = field.split(">")[0]
        assert 'type="password"' in tag
        assert 'autocomplete="off"' in tag
        assert "value=" not in tag


def test_no_key_stands_on_any_page_log_entry_or_message(owner: Any) -> None:
    superuser = make_owner("root", superuser=True)
    clients = []
    for user in (owner, superuser):
        client = Client()
        client.force_login(user)
        clients.append(client)
    data = form(environment="testnet", api_key=KEY, api_secret=SECRET)
    assert clients[0].post(reverse(ADD), data).status_code == 302
    account = ExchangeAccount.objects.get()
    key_hash = ExchangeSecret.objects.get().key_hash
    urls = [
        reverse("admin:index"),
        reverse(LIST),
        reverse(ADD),
        reverse(CHANGE, args=[account.pk]),
        reverse("admin:trading_exchangeaccount_history", args=[account.pk]),
        reverse("admin:trading_accountstate_changelist"),
    ]
    for client in clients:
        new = {"api_key": KEY, "api_secret": SECRET[:-1]}
        responses = [client.get(url) for url in urls]
        responses.append(client.post(urls[3], form(**new)))  # an error: the form comes back
        responses.append(client.post(urls[3], form(user=str(owner.pk)), follow=True))
        for response in responses:
            assert response.status_code == 200
            content = response.content.decode()
            assert "CANARY" not in content
            assert key_hash not in content
            assert "gAAAA" not in content
    entries = str(list(LogEntry.objects.values()))
    assert "CANARY" not in entries
    assert "added" in entries


def test_secrets_have_no_page_and_accounts_can_not_be_deleted(account: ExchangeAccount) -> None:
    client = Client()
    client.force_login(make_owner(superuser=True))
    assert client.get(f"/admin/trading/exchangesecret/{account.secret.pk}/change/").status_code == 404
    url = reverse("admin:trading_exchangeaccount_delete", args=[account.pk])
    assert client.post(url, {"post": "yes"}).status_code == 403
    assert "delete_selected" not in page(client, LIST)
    assert ExchangeAccount.objects.count() == 1


def test_a_viewer_sees_no_key_field(owner: Any, account: ExchangeAccount) -> None:
    from django.contrib.auth.models import Permission

    owner.user_permissions.set([Permission.objects.get(codename="view_exchangeaccount")])
    client = Client()
    client.force_login(owner)
    text = page(client, CHANGE, account.pk)
    assert "api_key" not in text
    assert "main" in text


def test_a_broken_secret_breaks_no_page(browser: Client, account: ExchangeAccount) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE trading_exchangesecret SET api_key = 'rubbish'")
    make_bot(account)
    for name, arguments in ((LIST, []), (CHANGE, [account.pk]), ("admin:bots_botconfig_changelist", [])):
        assert browser.get(reverse(name, args=arguments)).status_code == 200


def test_a_superuser_chooses_the_owner_of_a_new_account(owner: Any) -> None:
    client = Client()
    client.force_login(make_owner(superuser=True))
    assert client.post(reverse(ADD), form(user=str(owner.pk))).status_code == 302
    assert ExchangeAccount.objects.get().user == owner


def test_a_new_account_is_the_visitors_unless_said_otherwise(owner: Any) -> None:
    client = Client()
    client.force_login(root := make_owner("root", superuser=True))
    assert f'<option value="{root.pk}" selected>root</option>' in page(client, ADD)


def test_a_staff_user_can_not_give_an_account_to_somebody_else(browser: Client, owner: Any) -> None:
    other = make_owner()
    browser.post(reverse(ADD), form(user=str(other.pk)))
    assert ExchangeAccount.objects.get().user == owner


def test_an_environment_stands_in_the_list(browser: Client, owner: Any) -> None:
    account_create(user=owner, name="real", environment="live", api_key=KEY, api_secret=SECRET)
    assert '<span class="environment environment-live">LIVE</span>' in page(browser, LIST)
