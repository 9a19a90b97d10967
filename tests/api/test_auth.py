"""Login and logout: tokens expire, are stored hashed, and nobody guesses a password or learns a name."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from bots.api import throttles
from tests.api.support import Api, error_of
from tests.support.owners import make_owner, row_counts

pytestmark = pytest.mark.django_db

PASSWORD = "a password of the tests"
JSON = "application/json"


@pytest.fixture(autouse=True)
def quick_hashes(settings: Any) -> None:
    """Good hashes take long on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def user(db: None) -> Any:
    made = make_owner("paula")
    made.set_password(PASSWORD)
    made.save()
    return made


def login(api: Api, username: object = "paula", password: object = PASSWORD) -> Any:
    return api.post("auth/login/", {"username": username, "password": password})


def test_a_token_works_until_it_is_logged_out(user: Any) -> None:
    answer = login(Api())
    assert answer.status_code == 200
    assert set(answer.json()) == {"token", "expiry"}
    user.refresh_from_db()
    assert user.last_login is not None
    client = Client(headers={"Authorization": f"Token {answer.json()['token']}"})
    assert client.get("/api/v1/bots/").status_code == 200
    assert answer.json()["token"] not in str(AuthToken.objects.values())
    assert client.post("/api/v1/auth/logout/", content_type=JSON).status_code == 204
    assert not AuthToken.objects.exists()
    error_of(client.get("/api/v1/bots/"), 401)


def test_a_token_expires_after_a_day_and_is_removed_at_the_next_login(user: Any) -> None:
    answer = login(Api()).json()
    token = AuthToken.objects.get()
    assert timedelta(hours=23) < token.expiry - timezone.now() <= timedelta(hours=24)
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    client = Client(headers={"Authorization": f"Token {answer['token']}"})
    error_of(client.get("/api/v1/bots/"), 401)
    AuthToken.objects.create(user, expiry=timedelta(seconds=-1))
    login(Api())
    assert AuthToken.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [{"password": "wrong"}, {"username": "nobody"}, {"username": "paula\x00"}, {"username": "PAULA"}],
)
def test_a_wrong_name_and_a_wrong_password_are_answered_alike(user: Any, change: dict[str, str]) -> None:
    error = error_of(login(Api(), **change), 401)
    assert (error["code"], error["message"]) == ("wrong_credentials", "Username or password is wrong.")
    assert not AuthToken.objects.exists()


def test_a_deactivated_user_neither_logs_in_nor_uses_a_token(user: Any) -> None:
    api = Api(user)
    user.is_active = False
    user.save()
    assert error_of(login(Api()), 401)["code"] == "wrong_credentials"
    error_of(api.send("GET", "bots/"), 401)


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"username": "paula"},
        {"username": 1, "password": 2},
        {"username": "", "password": ""},
        {"username": "x" * 151, "password": "x"},
        {"username": "x", "password": "x" * 5000},
        {"username": ["paula"], "password": {"a": 1}},
        {"username": "a", "password": "b", "otp": 1},
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_login_that_is_none_is_400(user: Any, body: Any) -> None:
    before = row_counts()
    assert error_of(Api().post("auth/login/", body), 400)["fields"]
    assert row_counts() == before


@pytest.mark.parametrize(
    "header",
    ["Token", "Token ", "Token a b", "Token " + "0" * 64, "Token \xff\xfe", "Token a\x00b", "Token ..",
     "token x",
     "Token " + "a" * 5000, "Bearer x", "Basic eDp5"],
)  # fmt: skip
def test_a_header_without_a_good_token_is_401(user: Any, header: str) -> None:
    AuthToken.objects.create(user)
    response = Client().get("/api/v1/bots/", headers={"Authorization": header})
    error_of(response, 401)
    assert response["WWW-Authenticate"] == "Token"


def test_a_session_works_and_needs_the_csrf_token_to_change_something(user: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.get("/api/v1/bots/").status_code == 200
    response = client.post("/api/v1/accounts/", {"name": "x"}, content_type=JSON)
    assert error_of(response, 403)["code"] == "permission_denied"
    calm = Client()
    calm.force_login(user)
    assert calm.post("/api/v1/auth/logout/", content_type=JSON).status_code == 204
    error_of(calm.get("/api/v1/bots/"), 401)


def test_guessing_ends_after_some_tries_for_that_name_only(
    user: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_REQUESTS_PER_MINUTE = {"read": 9, "write": 9, "anonymous": 100, "login": 3}
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: 1_000_000_010.0))
    statuses = [login(Api(), password="wrong").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert login(Api(), username="another", password="x").status_code == 401


def test_a_forwarded_address_is_not_believed(
    user: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_REQUESTS_PER_MINUTE = {"read": 9, "write": 9, "anonymous": 100, "login": 1}
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: 1_000_000_010.0))
    statuses = []
    for number in range(3):
        api = Api()
        api.client.defaults["HTTP_X_FORWARDED_FOR"] = f"10.0.0.{number}"
        statuses.append(login(api, password="wrong").status_code)
    assert statuses == [401, 429, 429]


def test_nobody_logs_in_while_nobody_can_count(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*arguments: Any) -> None:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr("bots.api.throttles._count", down)
    error = error_of(login(Api()), 503)
    assert error["message"] == "Nobody can log in while Redis does not answer; try again in a moment."
    assert not AuthToken.objects.exists()
    assert Api(user).send("GET", "bots/").status_code == 200


def test_tokens_have_no_page_in_the_admin() -> None:
    client = Client()
    client.force_login(make_owner(superuser=True))
    assert client.get("/admin/knox/authtoken/").status_code == 404
