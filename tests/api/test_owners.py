"""Every address, every method: somebody else's row does not exist, and without a login there is nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bots import services
from bots.api import urls
from bots.models import BotConfig
from bots.notifications.services import channel_test
from bots.services_kill import begin as kill_begin
from tests.api.support import METHODS, Api, error_of, make_channel, make_orphan, make_run, make_trade
from tests.support.owners import (
    NOW,
    make_account,
    make_bot,
    make_owner,
    make_request,
    put_in_position,
    row_counts,
    values_of,
)
from trading.limits_service import limits_create
from trading.models import ExchangeAccount

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.broken_books("rows are made up to be shown"),
]

OPEN = {"v1/auth/login/", "v1/schema/", "v1/docs/", ""}
ROUTES = [str(pattern.pattern) for pattern in urls.urlpatterns]
WITH_ID = [route for route in ROUTES if "<" in route]


def addresses(bot: BotConfig) -> Iterator[str]:
    """Each address that names a row of the bot's owner."""
    ids = {"v1/bots/": [bot.pk], "v1/accounts/": [bot.account_id], "v1/runs/": [make_run(bot).pk]}
    ids["v1/runs/"].append(f"inbox-{services.bot_start(bot=bot, by=bot.user).pk}")
    channel, limits = make_channel(bot.user), limits_create(user=bot.user, account=bot.account, values={})
    ids["v1/notifications/channels/"] = [channel.pk]
    ids["v1/notifications/deliveries/"] = [channel_test(channel=channel, by=bot.user).pk]
    ids["v1/limits/"] = [limits.pk]
    values = {"scope": "bot", "bot": bot.pk, "reason": "a test"}
    ids["v1/kill-switches/"] = [kill_begin(by=bot.user, values=values, now=NOW).pk]
    ids["v1/orphans/"] = [make_orphan(bot.account).pk]
    ids["v1/doubts/"] = [make_request(bot, state="QUARANTINED").pk]
    for route in WITH_ID:
        head, tail = route.split("<")
        for row in ids[head]:
            yield f"/api/{head}{row}{tail.split('>')[1]}"


@pytest.fixture
def foreign(bot: BotConfig) -> BotConfig:
    """A bot of somebody else."""
    return make_bot(make_account(make_owner("eve"), name="eve's"), name="eve's")


def test_there_are_addresses_to_walk() -> None:
    assert len(WITH_ID) == 24
    assert {route.split("<")[0] for route in WITH_ID} == {
        "v1/bots/",
        "v1/accounts/",
        "v1/runs/",
        "v1/notifications/channels/",
        "v1/notifications/deliveries/",
        "v1/limits/",
        "v1/kill-switches/",
        "v1/orphans/",
        "v1/doubts/",
    }


def test_another_users_row_is_404_for_every_method(api: Api, foreign: BotConfig) -> None:
    make_trade(foreign)
    paths = list(addresses(foreign))
    put_in_position(foreign)
    before, counts = values_of(foreign), row_counts()
    account = ExchangeAccount.objects.filter(pk=foreign.account_id).values().get()
    for path in paths:
        for method in METHODS:
            for body in (None, {"name": "stolen"}):
                response = api.send(method, path, body)
                if method == "HEAD":
                    assert response.status_code == 404, path
                else:
                    assert error_of(response, 404)["message"].startswith("There is no "), (method, path)
    assert (values_of(foreign), row_counts()) == (before, counts)
    assert ExchangeAccount.objects.filter(pk=foreign.account_id).values().get() == account


def test_a_row_that_does_not_exist_is_answered_in_the_same_words(api: Api, foreign: BotConfig) -> None:
    missing = foreign.pk + 1000
    theirs = error_of(api.send("GET", f"bots/{foreign.pk}/"), 404)
    nobodys = error_of(api.send("GET", f"bots/{missing}/"), 404)
    assert theirs["message"].replace(str(foreign.pk), "N") == nobodys["message"].replace(str(missing), "N")


def test_ones_own_rows_are_there_and_other_methods_are_405(api: Api, bot: BotConfig) -> None:
    for path in addresses(bot):
        statuses = {method: api.send(method, path, {}).status_code for method in ("GET", "OPTIONS", "TRACE")}
        assert statuses["GET"] in (200, 405), path
        assert (statuses["OPTIONS"], statuses["TRACE"]) == (405, 405), path


def test_a_superuser_sees_all(foreign: BotConfig) -> None:
    root = Api(make_owner(superuser=True))
    for path in addresses(foreign):
        assert root.send("GET", path).status_code in (200, 405), path
    assert len(root.get("bots/")["results"]) == 2
    assert len(root.get("accounts/")["results"]) == 2
    changed = root.patch(f"bots/{foreign.pk}/", {"name": "by root"})
    assert (changed.status_code, changed.json()["user"]) == (200, foreign.user_id)


def test_a_superusers_new_bot_belongs_to_the_accounts_owner(foreign: BotConfig) -> None:
    root = Api(make_owner(superuser=True))
    made = root.post("bots/", {"name": "new", "symbol": "ETHUSDT", "account": foreign.account_id}).json()
    assert made["user"] == foreign.user_id


def test_lists_and_the_summary_hold_ones_own_rows_only(api: Api, bot: BotConfig, foreign: BotConfig) -> None:
    put_in_position(foreign)
    make_trade(foreign)
    mine = make_trade(bot)
    assert [row["id"] for row in api.get("bots/")["results"]] == [bot.pk]
    assert [row["id"] for row in api.get("accounts/")["results"]] == [bot.account_id]
    assert [row["id"] for row in api.get("trades/")["results"]] == [mine.pk]
    assert api.get(f"trades/?bot_config={foreign.pk}")["results"] == []
    assert api.get(f"bots/?account={foreign.account_id}")["results"] == []
    list(addresses(foreign))
    paths = ("notifications/channels/", "notifications/deliveries/", "limits/", "kill-switches/", "orphans/")
    for path in paths:
        assert api.get(path)["results"] == []
    summary = api.get("summary/")
    assert (summary["open_positions"], summary["bots"]) == ([], {"paused": 1})


def test_without_a_login_there_is_nothing(bot: BotConfig) -> None:
    nobody = Api()
    for route in ROUTES:
        if route in OPEN:
            continue
        path = "/api/" + route.replace("<row:id>", str(bot.pk)).replace("<run:id>", "1")
        for method in METHODS:
            response = nobody.send(method, path)
            assert response.status_code == 401, (method, path)
            assert response["WWW-Authenticate"] == "Token"
            if method != "HEAD":
                assert error_of(response, 401)["code"] == "not_authenticated"


@pytest.mark.parametrize(
    "row",
    [
        "abc",
        "-1",
        "1.0",
        "9" * 30,
        "1e3",
        "0x1",
        "%00",
        "\uff11",
        "00000000-0000-0000-0000-000000000000",
        " 1",
        "inbox-1",
    ],
)
def test_an_id_that_is_no_number_is_404(api: Api, bot: BotConfig, row: str) -> None:
    for path in (f"bots/{row}/", f"bots/{row}/state/", f"accounts/{row}/", f"bots/{row}/start/"):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            error_of(api.send(method, path), 404)


@pytest.mark.parametrize(
    "row", ["abc", "-1", "9" * 18, "9" * 30, "inbox-", "inbox-x", "inbox-" + "9" * 18, "inbox--1", "Inbox-1"]
)
def test_a_run_id_that_is_none_is_404(api: Api, bot: BotConfig, row: str) -> None:
    error_of(api.send("GET", f"runs/{row}/"), 404)
