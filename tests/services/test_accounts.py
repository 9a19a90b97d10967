"""Accounts: keys are checked, encrypted, bound to their account, unique, and never told."""

from __future__ import annotations

import hashlib
import json

import pytest
from cryptography.fernet import Fernet
from django.db import IntegrityError, connection, transaction
from fernet_fields.hkdf import derive_fernet_key

from tests.support.owners import make_account, make_owner, row_counts
from tradebot.errors import ClientInitFailed, InvalidInput, KeyDecryptFailed
from trading.accounts import (
    account_change,
    account_change_key,
    account_create,
    client_for,
    key_hashes,
    read_key,
)
from trading.models import ExchangeAccount, ExchangeSecret

pytestmark = pytest.mark.django_db

KEY = "CANARYkey".ljust(64, "K")
SECRET = "CANARYsecret".ljust(64, "S")
FORM = "{} must be 64 letters and digits, no spaces; copy it anew from the exchange."


def stored_bytes(account: ExchangeAccount) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT api_key || api_secret FROM trading_exchangesecret WHERE account_id = %s", [account.pk]
        )
        return bytes(cursor.fetchone()[0])


def overwrite_key(account: ExchangeAccount, token: bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE trading_exchangesecret SET api_key = %s WHERE account_id = %s", [token, account.pk]
        )


def test_a_paper_account_needs_no_key_and_gets_one_by_the_rule() -> None:
    account = account_create(user=make_owner(), name="mine")
    key, secret = read_key(account)
    assert key.reveal().startswith("paper")
    assert len(key.reveal()) == 64
    assert key.reveal().isalnum()
    assert secret.reveal() == hashlib.sha256(key.reveal().encode()).hexdigest()
    assert (account.environment, account.is_exclusive) == ("paper", True)


def test_two_paper_accounts_have_different_keys() -> None:
    user = make_owner()
    assert read_key(make_account(user))[0].reveal() != read_key(make_account(user))[0].reveal()


def test_a_paper_key_of_ones_own_gets_its_secret_by_the_rule() -> None:
    key = "paper".ljust(64, "x")
    account = account_create(user=make_owner(), name="mine", api_key=key)
    assert read_key(account)[1].reveal() == hashlib.sha256(key.encode()).hexdigest()


def test_the_stored_key_and_secret_are_encrypted_and_known_by_a_keyed_hash_only() -> None:
    account = account_create(
        user=make_owner(), name="mine", environment="testnet", api_key=KEY, api_secret=SECRET
    )
    assert b"CANARY" not in stored_bytes(account)
    assert account.secret.key_hash == key_hashes(KEY)[0]
    assert account.secret.key_hash != hashlib.sha256(KEY.encode()).hexdigest()
    assert [secret.reveal() for secret in read_key(account)] == [KEY, SECRET]


@pytest.mark.parametrize("environment", ["paper", "testnet", "live"])
@pytest.mark.parametrize(
    ("key", "secret", "field", "message"),
    [
        ("", SECRET, "api_key", "API key is missing; copy it from the exchange."),
        (KEY, "", "api_secret", "API secret is missing; copy it from the exchange."),
        (KEY[:63], SECRET, "api_key", FORM.format("API key")),
        (KEY + "K", SECRET, "api_key", FORM.format("API key")),
        (KEY[:63] + " ", SECRET, "api_key", FORM.format("API key")),
        (KEY[:63] + "\n", SECRET, "api_key", FORM.format("API key")),
        (KEY + "\n", SECRET, "api_key", FORM.format("API key")),
        (KEY[:63] + "😀", SECRET, "api_key", FORM.format("API key")),
        (KEY[:63] + "é", SECRET, "api_key", FORM.format("API key")),
        (KEY[:63] + "\uff11", SECRET, "api_key", FORM.format("API key")),
        (KEY[:63] + "\x00", SECRET, "api_key", FORM.format("API key")),
        (KEY, SECRET[:63], "api_secret", FORM.format("API secret")),
        (KEY, "S S".ljust(64, "S"), "api_secret", FORM.format("API secret")),
        (KEY, KEY, "api_secret", "API secret must not be the API key; copy both from the exchange."),
    ],
)
def test_a_malformed_key_is_refused_at_its_field(
    environment: str, key: str, secret: str, field: str, message: str
) -> None:
    user = make_owner()
    before = row_counts()
    with pytest.raises(InvalidInput) as caught:
        account_create(user=user, name="mine", environment=environment, api_key=key, api_secret=secret)
    assert caught.value.fields == {field: message}
    assert row_counts() == before


@pytest.mark.parametrize("environment", ["testnet", "live"])
def test_only_paper_accounts_make_a_key_up(environment: str) -> None:
    with pytest.raises(InvalidInput, match="API key is missing") as caught:
        account_create(user=make_owner(), name="mine", environment=environment)
    assert caught.value.field == "api_key"


def test_an_environment_that_does_not_exist_is_refused() -> None:
    user = make_owner()
    with pytest.raises(InvalidInput) as caught:
        account_create(user=user, name="mine", environment="demo")
    assert caught.value.fields == {
        "environment": "Environment must be one of paper, testnet, live; not 'demo'."
    }


@pytest.mark.parametrize("name", ["", "a\x00", "a\u202e", "x" * 101])
def test_account_names_must_be_readable(name: str) -> None:
    user = make_owner()
    before = row_counts()
    with pytest.raises(InvalidInput, match=r"^Name must") as caught:
        account_create(user=user, name=name)
    assert caught.value.field == "name"
    assert row_counts() == before


def test_account_names_are_unique_per_owner() -> None:
    user = make_owner()
    make_account(user, name="main")
    make_account(make_owner(), name="main")
    with pytest.raises(InvalidInput, match="There is an account named 'main' already"):
        make_account(user, name="main")
    other = make_account(user, name="other")
    with pytest.raises(InvalidInput, match="There is an account named 'main' already"):
        account_change(account=other, name="main", is_exclusive=True)
    other.refresh_from_db()
    assert other.name == "other"


def test_one_key_belongs_to_one_account_whoever_owns_it() -> None:
    make_account(make_owner(), environment="testnet", api_key=KEY, api_secret=SECRET)
    user = make_owner()
    before = row_counts()
    with pytest.raises(InvalidInput) as caught:
        make_account(user, environment="testnet", api_key=KEY, api_secret="t" * 64)
    assert caught.value.fields == {
        "api_key": "This API key belongs to another account already; use a key once only."
    }
    assert row_counts() == before


def test_uniqueness_of_keys_survives_a_rotation_of_fernet_keys(settings) -> None:
    make_account(make_owner(), environment="testnet", api_key=KEY, api_secret=SECRET)
    settings.FERNET_KEYS = ["a-newer-fernet-key-of-the-tests-and-nothing-else", *settings.FERNET_KEYS]
    with pytest.raises(InvalidInput, match="belongs to another account"):
        make_account(make_owner(), environment="testnet", api_key=KEY, api_secret=SECRET)


def test_the_database_itself_refuses_a_key_twice() -> None:
    first, second = make_account(make_owner()), make_account(make_owner())
    with pytest.raises(IntegrityError), transaction.atomic():
        ExchangeSecret.objects.filter(account=second).update(key_hash=first.secret.key_hash)


def test_a_key_can_be_replaced_even_when_the_old_one_is_unreadable() -> None:
    account = make_account(make_owner())
    overwrite_key(account, b"rubbish")
    with pytest.raises(KeyDecryptFailed):
        read_key(account)
    account_change_key(account=account, api_key=KEY, api_secret=SECRET, by=account.user)
    assert [secret.reveal() for secret in read_key(account)] == [KEY, SECRET]
    assert ExchangeSecret.objects.filter(account=account).count() == 1


def test_a_bad_new_key_leaves_the_old_one() -> None:
    account = make_account(make_owner())
    before = stored_bytes(account)
    with pytest.raises(InvalidInput):
        account_change_key(account=account, api_key="short", api_secret=SECRET, by=account.user)
    with pytest.raises(InvalidInput, match="There is no such account"):
        account_change_key(account=account, api_key=KEY, api_secret=SECRET, by=make_owner())
    assert stored_bytes(account) == before


def test_an_unreadable_key_is_an_error_that_names_fernet_keys() -> None:
    account = make_account(make_owner(), name="main")
    overwrite_key(account, Fernet(Fernet.generate_key()).encrypt(b"{}"))
    with pytest.raises(KeyDecryptFailed) as caught:
        read_key(account)
    assert str(caught.value) == (
        "The API key of account main can't be decrypted with FERNET_KEYS; restore the key that encrypted it "
        "to FERNET_KEYS, or enter the API key and secret anew."
    )


def test_a_ciphertext_moved_from_another_account_is_refused() -> None:
    mine, victim = make_account(make_owner(), name="mine"), make_account(make_owner())
    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key FROM trading_exchangesecret WHERE account_id = %s", [victim.pk])
        overwrite_key(mine, cursor.fetchone()[0])
    with pytest.raises(
        KeyDecryptFailed, match="The stored API key of account mine belongs to another account"
    ):
        read_key(mine)


@pytest.mark.parametrize("plain", ["", "null", "[]", '{"value": "x"}', '{"account": 1, "field": "api_key"}'])
def test_a_plaintext_of_another_form_is_refused(plain: str, settings) -> None:
    account = make_account(make_owner())
    fernet = Fernet(derive_fernet_key(settings.FERNET_KEYS[0]))
    overwrite_key(account, fernet.encrypt(plain.replace("1", str(account.pk)).encode()))
    with pytest.raises(KeyDecryptFailed):
        read_key(account)


def test_key_and_secret_can_not_change_places(settings) -> None:
    account = make_account(make_owner())
    swapped = json.dumps({"account": account.pk, "field": "api_secret", "value": KEY})
    overwrite_key(account, Fernet(derive_fernet_key(settings.FERNET_KEYS[0])).encrypt(swapped.encode()))
    with pytest.raises(KeyDecryptFailed):
        read_key(account)


def test_an_account_without_a_key_gives_no_client() -> None:
    account = make_account(make_owner(), name="main")
    ExchangeSecret.objects.all().delete()
    with pytest.raises(ClientInitFailed, match="Account main has no API key"):
        read_key(account)


def test_a_live_account_gives_no_client_while_live_trading_is_off(settings) -> None:
    account = make_account(make_owner(), name="main", environment="live")
    with pytest.raises(ClientInitFailed) as caught:
        client_for(account, "spot")
    assert str(caught.value) == "Account main is live, and live trading is off (LIVE_TRADING)."
    settings.LIVE_TRADING = True
    settings.TIMINGS = settings.TIMINGS.scaled(0.5)
    with pytest.raises(ClientInitFailed, match="TIMINGS_SCALE must be 1"):
        client_for(account, "spot")
