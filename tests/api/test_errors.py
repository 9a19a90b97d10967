"""Whatever goes wrong is answered in one shape, by one status, and never as HTML."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.db import IntegrityError, InterfaceError, OperationalError
from django.test import Client

from bots.api import throttles
from bots.models import BotConfig
from tests.api.support import METHODS, Api, error_of
from tests.support.owners import make_owner, row_counts, values_of
from tradebot.errors import ConfigError

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/api/", "/api/v1/", "/api/v2/bots/", "/api/v1/nothing/", "/api/v1/bots"])
def test_where_nothing_is_every_method_says_so(api: Api, path: str) -> None:
    for method in METHODS:
        response = api.send(method, path, {"a": 1} if method == "POST" else None)
        assert response.status_code == 404
        if method != "HEAD":
            assert error_of(response, 404)["message"].startswith("There is nothing at this address.")


def test_a_method_that_is_not_there_is_405(api: Api) -> None:
    for method, path in (
        ("DELETE", "bots/"),
        ("POST", "summary/"),
        ("GET", "auth/login/"),
        ("BREW", "bots/"),
    ):
        error = error_of(api.send(method, path), 405)
        assert error["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "nonsense",
        "",
    ],
)
def test_a_body_that_is_not_json_is_415(api: Api, bot: BotConfig, kind: str) -> None:
    before = values_of(bot)
    error_of(api.send("PATCH", f"bots/{bot.pk}/", b"name=changed", content_type=kind), 415)
    assert values_of(bot) == before


def test_html_is_never_answered(api: Api, bot: BotConfig) -> None:
    for accept in ("text/html", "application/xml", "nonsense", "*/*;q=x"):
        response = api.client.get("/api/v1/bots/", headers={"Accept": accept})
        assert (response.status_code, response["Content-Type"]) == (200, "application/json")
        response = api.client.get("/api/v1/bots/77777/", headers={"Accept": accept})
        error_of(response, 404)
    assert response["X-Content-Type-Options"] == "nosniff"


def test_an_unknown_host_is_answered_in_the_same_shape(api: Api) -> None:
    error_of(api.client.get("/api/v1/bots/", headers={"Host": "evil.example"}), 400)


def test_too_many_requests_are_429_with_a_time_to_wait(
    api: Api, bot: BotConfig, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_REQUESTS_PER_MINUTE = {"read": 2, "write": 1, "anonymous": 1, "login": 1}
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: 1_000_000_010.0))
    api.get("bots/")
    api.get("bots/")
    response = api.send("GET", "bots/")
    assert error_of(response, 429)["code"] == "throttled"
    assert int(response["Retry-After"]) == 11  # ten seconds to the end of the minute, and one
    assert api.patch(f"bots/{bot.pk}/", {"name": "one"}).status_code == 200
    before = values_of(bot)
    error_of(api.patch(f"bots/{bot.pk}/", {"name": "two"}), 429)
    assert values_of(bot) == before
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: 1_000_000_020.0))
    api.get("bots/")
    assert Api(make_owner()).send("GET", "bots/").status_code == 200


def test_what_does_not_answer_is_503_with_a_sentence(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = (
        OperationalError("gone"),
        InterfaceError("gone"),
        redis.ConnectionError("gone"),
        ConfigError("Broken."),
    )
    for failure in failures:

        def fail(*arguments: Any, failure: Exception = failure) -> None:
            raise failure

        monkeypatch.setattr("bots.api.summary.summarise", fail)
        assert error_of(api.send("GET", "summary/"), 503)["code"] == "unavailable"


def test_what_another_one_did_at_the_same_moment_is_409(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise IntegrityError("violates a foreign key")

    monkeypatch.setattr("bots.api.summary.summarise", fail)
    assert "at the same moment" in error_of(api.send("GET", "summary/"), 409)["message"]


def test_a_fault_of_ours_is_500_in_the_same_shape_and_tells_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("SECRET of the inside")

    monkeypatch.setattr("bots.api.summary.summarise", fail)
    with pytest.raises(RuntimeError):
        api.send("GET", "summary/")
    api.client.raise_request_exception = False
    response = api.send("GET", "summary/")
    assert error_of(response, 500)["code"] == "failed"
    assert b"SECRET" not in response.content


def test_pages_outside_the_api_keep_djangos_own_errors(db: None) -> None:
    response = Client().get("/nothing/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "query",
    [
        "x=1",
        "user=1",
        "owner__password=x",
        "page_size=1&page_size=2",
        "symbol=%00",
        "format=html",
        "is_active=true&nonsense",
    ],
)
def test_query_parameters_that_are_none_are_named_with_those_that_are(
    api: Api, bot: BotConfig, query: str
) -> None:
    error = error_of(api.send("GET", f"bots/?{query}"), 400)
    assert len(error["fields"]) == 1
    if "There is no parameter" in error["message"]:
        assert (
            "Parameters are: status, symbol, market, is_active, account, ordering, page" in error["message"]
        )


def test_a_parameter_where_none_is_taken_is_refused(api: Api, bot: BotConfig) -> None:
    counts = row_counts()
    for method, path in (
        ("GET", f"bots/{bot.pk}/?x=1"),
        ("GET", f"bots/{bot.pk}/state/?page=1"),
        ("DELETE", f"bots/{bot.pk}/?force=1"),
        ("POST", "accounts/?x=1"),
        ("GET", "summary/?x=1"),
        ("GET", "schema/?format=xml"),
    ):
        error_of(api.send(method, path), 400)
    assert row_counts() == counts
