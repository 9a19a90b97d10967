"""The OpenAPI schema: it is whole, its page is ours, and what it allows never ends in a 5xx."""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import Client
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bots.api import urls
from bots.models import BotConfig
from tests.api.support import Api, make_run, make_trade
from tests.support.owners import load_symbols
from trading.accounts import account_create

pytestmark = pytest.mark.django_db


def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.get("schema/")
    return found


def test_every_address_is_in_the_schema_and_has_its_errors(api: Api) -> None:
    schema = document(api)
    routes = {str(pattern.pattern) for pattern in urls.urlpatterns} - {"", "v1/schema/", "v1/docs/"}
    assert set(schema["paths"]) == {"/api/" + re.sub(r"<\w+:id>", "{id}", route) for route in routes}
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert {"4XX", "503"} <= set(operation["responses"])
            assert operation["description"]
    bot = schema["components"]["schemas"]["Bot"]["properties"]
    assert {field.name for field in BotConfig._meta.fields} - {"deleted_at"} <= set(bot)
    assert bot["initial_capital"]["type"] == "string"


def test_the_schema_has_no_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn")


def test_the_schema_is_served_as_yaml_too() -> None:
    response = Client().get("/api/v1/schema/", headers={"Accept": "application/yaml"})
    assert (response.status_code, response["Content-Type"].split(";")[0]) == (200, "application/yaml")


def test_the_swagger_page_loads_nothing_from_elsewhere() -> None:
    response = Client().get("/api/v1/docs/")
    assert response.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', response.content.decode())
    assert addresses
    for address in addresses:
        assert address.startswith("/"), address
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")), address
    assert Client().get("/api/v1/docs/?script=").status_code == 200


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.slow
@pytest.mark.django_db
def test_no_request_that_the_schema_allows_ends_in_a_server_error(
    api: Api, bot: BotConfig, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.API_REQUESTS_PER_MINUTE = dict.fromkeys(settings.API_REQUESTS_PER_MINUTE, 10**9)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setattr("bots.api.bots.wake_bot", lambda *arguments: None)
    make_trade(bot)
    make_run(bot)
    token = api.client.defaults["HTTP_AUTHORIZATION"]
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application())
    walked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/auth/logout/"):
            continue
        walk(operation, token, {"id": bot.pk})
        walked += 1
    assert walked >= 26
