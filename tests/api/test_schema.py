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
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bots.api import urls
from bots.models import BotConfig, BotInbox
from bots.notifications.services import channel_test
from bots.services_kill import begin as kill_begin
from marketdata.symbols import cached
from tests.api.support import Api, make_channel, make_orphan, make_run, make_trade
from tests.support.owners import NOW, make_request
from tradebot.binance.sources import source_for
from trading.limits_service import limits_create

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.broken_books("rows are made up to be shown"),
]


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


CONFORMS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = hypothesis_settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def walk(operation: Any, token: str, ids: list[Any], mode: GenerationMode) -> int:
    """Send what the schema allows, or just not, to one operation; every other time to a row that exists."""
    sent = 0

    @EXAMPLES
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        nonlocal sent
        sent += 1
        if "{id}" in operation.path and sent % 2:
            case.path_parameters = {"id": ids[sent % len(ids)]}
        response = case.call(headers={"Authorization": token})
        is_good = mode is GenerationMode.POSITIVE
        case.validate_response(response, checks=CONFORMS if is_good else [not_a_server_error])

    send()
    return sent


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_no_request_ends_in_a_server_error_and_every_answer_is_as_the_schema_says(
    api: Api,
    bot: BotConfig,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    public_names: None,
    delivered: list[bool],
) -> None:
    settings.API_REQUESTS_PER_MINUTE = dict.fromkeys(settings.API_REQUESTS_PER_MINUTE, 10**9)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setattr("bots.api.bots.wake_bot", lambda *arguments: None)
    spot = source_for("paper", "spot")  # every market has symbols: without, 503 is the right answer
    monkeypatch.setattr("bots.api.symbols.cached", lambda source: cached(spot))
    make_trade(bot)
    run = make_run(bot)
    entry = BotInbox.objects.create(bot=bot, kind="run", source_id="x", created_at=NOW)
    token = api.client.defaults["HTTP_AUTHORIZATION"]
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application())
    operations = [result.ok() for result in schema.get_all_operations()]
    operations = [each for each in operations if not each.path.endswith("/auth/logout/")]
    operations.sort(key=lambda each: each.method == "delete")
    channel = make_channel(bot.user, kind="webhook", target="https://example.com/hook")
    kill = {"scope": "bot", "bot": bot.pk, "reason": "a test"}
    ids = {
        "accounts": [bot.account_id],
        "bots": [bot.pk],
        "runs": [run.pk, f"inbox-{entry.pk}"],
        "notifications/channels": [channel.pk],
        "notifications/deliveries": [channel_test(channel=channel, by=bot.user).pk],
        "kill-switches": [kill_begin(by=bot.user, values=kill, now=NOW).pk],
        "orphans": [make_orphan(bot.account).pk],
        "doubts": [make_request(bot, state="NOT_PLACED").pk],
        "limits": [limits_create(user=bot.user, account=bot.account, values={}).pk],
    }
    sent = 0
    for operation in operations:
        kind = operation.path.removeprefix("/api/v1/").split("/{id}")[0]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
                continue
            sent += walk(operation, token, ids.get(kind, []), mode)
    assert len(operations) == 51
    assert sent > 150
