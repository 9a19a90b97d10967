"""Exchange accounts: made, renamed, given a key, and turned into a client. The only reader of stored keys."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import string
from typing import Any

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from tradebot import rows
from tradebot.binance.budget import Lane
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import source_for
from tradebot.errors import ClientInitFailed, InvalidInput, KeyDecryptFailed, Refused
from tradebot.inputs import clean_name, shown
from tradebot.secrets import Secret
from tradebot.timings import DEFAULT as DEFAULT_TIMINGS
from trading.models import ExchangeAccount, ExchangeSecret

PAPER_PREFIX = "paper"
KEY_LENGTH = 64
_KEY_FORM = re.compile(rf"[A-Za-z0-9]{{{KEY_LENGTH}}}")
_HASH_CONTEXT = b"tradebot: one account per API key"
DECRYPT_SENTENCE = (
    "The API key of account {name} can't be decrypted with FERNET_KEYS; restore the key that encrypted it "
    "to FERNET_KEYS, or enter the API key and secret anew."
)


def account_create(
    *,
    user: Any,
    name: str,
    environment: str = "paper",
    api_key: str = "",
    api_secret: str = "",
    is_exclusive: bool = True,
) -> ExchangeAccount:
    """A new account of `user` with its encrypted key.

    A paper account needs no key: it gets one that the paper exchange accepts ("paper" and random characters;
    its secret is the hex SHA-256 of the key). Raises InvalidInput with the field; nothing is stored then.
    """
    cleaned = account_check(
        user=user, name=name, environment=environment, api_key=api_key, api_secret=api_secret
    )
    key, secret = _checked_key(environment, api_key, api_secret)
    with transaction.atomic():
        try:
            with transaction.atomic():
                account = ExchangeAccount.objects.create(
                    user=user, name=cleaned, environment=environment, is_exclusive=is_exclusive
                )
        except IntegrityError:
            raise _name_taken(cleaned) from None
        _store(account, key, secret)
    return account


def account_check(
    *,
    user: Any,
    name: str,
    environment: str,
    api_key: str = "",
    api_secret: str = "",
    account: ExchangeAccount | None = None,
) -> str:
    """The cleaned name, if `user` can have such an account; `account` is the one being changed.

    An account that is changed keeps its key where both key and secret are empty. Stores nothing. Raises
    InvalidInput that names the field.
    """
    if environment not in ExchangeAccount.Environment.values:
        raise InvalidInput(
            f"Environment must be one of paper, testnet, live; not {shown(environment)}.", "environment"
        )
    cleaned = _free_name(user, name, account)
    if account is None or api_key or api_secret:
        key, _ = _checked_key(environment, api_key, api_secret)
        _refuse_taken(key_hashes(key), account.pk if account else 0)
    return cleaned


def account_change(*, account: ExchangeAccount, name: str, is_exclusive: bool) -> ExchangeAccount:
    """The account with another name or exclusiveness; its environment never changes. Raises InvalidInput."""
    account.name, account.is_exclusive = _free_name(account.user, name, account), is_exclusive
    try:
        with transaction.atomic():
            account.save(update_fields=["name", "is_exclusive"])
    except IntegrityError:
        raise _name_taken(account.name) from None
    return account


def account_change_key(*, account: ExchangeAccount, api_key: str, api_secret: str, by: Any) -> ExchangeSecret:
    """Replace the account's key and secret. Works when the old ones can't be decrypted any more.

    `by` must be the owner or a superuser. Raises InvalidInput that names the field; the old key stays then.
    """
    if not (by.is_superuser or account.user_id == by.pk):
        raise InvalidInput("There is no such account; choose one of your own.", "account")
    key, secret = _checked_key(account.environment, api_key, api_secret)
    with transaction.atomic():
        return _store(account, key, secret)


def account_delete(*, account: ExchangeAccount, by: Any) -> None:
    """Remove the account and its key. Raises Refused where bots are, or were, on it: their journal stays."""
    if not (by.is_superuser or account.user_id == by.pk):
        raise InvalidInput("There is no such account; choose one of your own.", "account")
    name = account.name
    try:
        with transaction.atomic():
            account.delete()
    except (ProtectedError, IntegrityError):  # the latter: a bot that was made at the same moment
        bots = account.bots.filter(deleted_at__isnull=True).values_list("name", flat=True)  # type: ignore[attr-defined]
        listed = ", ".join(bots[:5])
        reason = f"it has bots ({listed}); delete them first" if listed else "the journal of its bots stays"
        raise Refused(f"Account {name} can't be deleted: {reason}.") from None


def client_for(account: ExchangeAccount, market: str, lane: Lane = "background") -> ExchangeClient:
    """A client that signs with the account's key.

    Raises KeyDecryptFailed when the stored key can't be read, ClientInitFailed when there is none, when it is
    malformed, or when the environment is live and LIVE_TRADING is off or the timings are scaled.
    """
    if account.environment == ExchangeAccount.Environment.LIVE:
        if not settings.LIVE_TRADING:
            raise ClientInitFailed(f"Account {account.name} is live, and live trading is off (LIVE_TRADING).")
        if settings.TIMINGS != DEFAULT_TIMINGS:
            raise ClientInitFailed(f"Account {account.name} is live; TIMINGS_SCALE must be 1 for it.")
    key, secret = read_key(account)
    return ExchangeClient(
        source_for(account.environment, market),
        api_key=key,
        api_secret=secret,
        timings=settings.TIMINGS,
        lane=lane,
    )


def read_key(account: ExchangeAccount) -> tuple[Secret, Secret]:
    """The account's API key and secret. Raises KeyDecryptFailed, or ClientInitFailed when there is none."""
    try:
        found = rows.read(ExchangeSecret, "WHERE account_id = %s", [account.pk])
    except (InvalidToken, UnicodeDecodeError):
        raise KeyDecryptFailed(DECRYPT_SENTENCE.format(name=account.name)) from None
    if not found:
        raise ClientInitFailed(f"Account {account.name} has no API key; enter one.")
    row = found[0]
    return _unbind(account, "api_key", row.api_key), _unbind(account, "api_secret", row.api_secret)


def has_key(account: ExchangeAccount) -> bool:
    """Whether a key is stored, without decrypting it."""
    return ExchangeSecret.objects.filter(account_id=account.pk).exists()


def paper_secret(api_key: str) -> str:
    """The secret that belongs to a paper key by rule: the hex SHA-256 of its ASCII bytes."""
    return hashlib.sha256(api_key.encode("ascii")).hexdigest()


def key_hashes(api_key: str) -> list[str]:
    """HMAC-SHA256 of the API key under each of FERNET_KEYS, newest first; the first is what is stored.

    A stolen table can't be searched for a known key without FERNET_KEYS. A look-up asks for all of them, so
    that uniqueness holds while keys rotate; re-encrypting a row stores the newest again. Each Fernet key
    takes part through a derived key of this one purpose (HMAC of a fixed context), never itself.
    """
    derived = [hmac.digest(key.encode(), _HASH_CONTEXT, "sha256") for key in settings.FERNET_KEYS]
    return [hmac.new(key, api_key.encode(), hashlib.sha256).hexdigest() for key in derived]


def _checked_key(environment: str, api_key: str, api_secret: str) -> tuple[str, str]:
    """The pair to store. Messages never hold any part of what was given."""
    if environment == "paper" and not api_secret and (not api_key or api_key.startswith(PAPER_PREFIX)):
        key = _check_form(api_key or _random_paper_key(), "api_key", "API key")
        return key, paper_secret(key)
    key = _check_form(api_key, "api_key", "API key")
    secret = _check_form(api_secret, "api_secret", "API secret")
    if key == secret:
        raise InvalidInput("API secret must not be the API key; copy both from the exchange.", "api_secret")
    return key, secret


def _check_form(value: str, field: str, label: str) -> str:
    if not value:
        raise InvalidInput(f"{label} is missing; copy it from the exchange.", field)
    if not _KEY_FORM.fullmatch(value):
        raise InvalidInput(
            f"{label} must be {KEY_LENGTH} letters and digits, no spaces; copy it anew from the exchange.",
            field,
        )
    return value


def _random_paper_key() -> str:
    alphabet = string.ascii_letters + string.digits
    return PAPER_PREFIX + "".join(secrets.choice(alphabet) for _ in range(KEY_LENGTH - len(PAPER_PREFIX)))


def _free_name(user: Any, name: str, account: ExchangeAccount | None) -> str:
    try:
        cleaned = clean_name(name)
    except InvalidInput as error:
        raise InvalidInput(f"Name {error}", "name") from None
    others = ExchangeAccount.objects.filter(user=user, name=cleaned)
    if others.exclude(pk=account.pk if account else 0).exists():
        raise _name_taken(cleaned)
    return cleaned


def _name_taken(name: str) -> InvalidInput:
    return InvalidInput(f"There is an account named {shown(name)} already; choose another name.", "name")


def _store(account: ExchangeAccount, key: str, secret: str) -> ExchangeSecret:
    hashes = key_hashes(key)
    _refuse_taken(hashes, account.pk)
    try:
        with transaction.atomic():
            # update_or_create would read the old row, which may not be readable any more
            values = {
                "api_key": _bind(account, "api_key", key),
                "api_secret": _bind(account, "api_secret", secret),
                "key_hash": hashes[0],
            }
            row_id = ExchangeSecret.objects.filter(account_id=account.pk).values_list("pk", flat=True).first()
            row = ExchangeSecret(pk=row_id, account=account, **values)
            row.save()
    except IntegrityError:
        raise _key_taken() from None
    return row


def _refuse_taken(hashes: list[str], account_id: int) -> None:
    if ExchangeSecret.objects.filter(key_hash__in=hashes).exclude(account_id=account_id).exists():
        raise _key_taken()


def _key_taken() -> InvalidInput:
    return InvalidInput("This API key belongs to another account already; use a key once only.", "api_key")


def _bind(account: ExchangeAccount, field: str, value: str) -> str:
    """What is encrypted: the value with where it belongs, so that a ciphertext moved elsewhere is refused."""
    return json.dumps({"account": account.pk, "field": field, "value": value})


def _unbind(account: ExchangeAccount, field: str, plain: str) -> Secret:
    try:
        bound = json.loads(plain)
        if (bound["account"], bound["field"]) == (account.pk, field):
            return Secret(bound["value"])
    except (ValueError, KeyError, TypeError):
        pass
    raise KeyDecryptFailed(
        f"The stored API key of account {account.name} belongs to another account; enter the key anew."
    )
