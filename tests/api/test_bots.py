"""Bots through the API: made, read, changed, deleted, and asked to act."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import redis

from bots import services
from bots.models import BotConfig, BotInbox
from tests.api.support import Api, error_of, make_run
from tests.support.owners import (
    load_symbols,
    make_account,
    make_bot,
    make_owner,
    put_in_position,
    row_counts,
    values_of,
)
from tradebot import clock
from tradebot.binance.sources import source_for
from trading.models import BotState, ExchangeAccount, ExchangeSecret

pytestmark = pytest.mark.django_db


def test_a_bot_is_made_with_defaults_and_paused(api: Api, account: ExchangeAccount) -> None:
    response = api.post("bots/", {"name": "mine", "account": account.pk, "symbol": "ETHUSDT"})
    assert response.status_code == 201
    made = response.json()
    assert response["Location"] == f"http://testserver/api/v1/bots/{made['id']}/"
    bot = BotConfig.objects.get(pk=made["id"])
    assert (bot.user, bot.symbol, bot.is_active) == (account.user, "ETHUSDT", False)
    assert made == api.get(f"bots/{bot.pk}/")
    assert (made["status"], made["is_active"], made["in_position"]) == ("paused", False, False)
    assert (made["initial_capital"], made["trailing_step_perc"], made["stop_loss_perc"]) == (
        "1000",
        "0.1",
        None,
    )
    assert made["strategy_params"]["ema_fast"] == 9


def test_numbers_are_kept_as_they_are_written(api: Api, account: ExchangeAccount) -> None:
    body = b'{"name": "x", "account": %d, "symbol": "BTCUSDT", "stop_loss_perc": 0.1, ' % account.pk
    body += b'"initial_capital": 250.10000001, "strategy_params": {"ema_fast": 5.0}}'
    made = api.post("bots/", body).json()
    bot = BotConfig.objects.get(pk=made["id"])
    assert (bot.stop_loss_perc, bot.initial_capital) == (Decimal("0.1"), Decimal("250.10000001"))
    assert (made["stop_loss_perc"], made["initial_capital"]) == ("0.1", "250.10000001")
    assert bot.strategy_params["ema_fast"] == 5


def test_a_number_with_more_digits_than_a_float_is_not_rounded(api: Api, account: ExchangeAccount) -> None:
    body = b'{"name": "x", "account": %d, "symbol": "BTCUSDT", "stop_loss_perc": 1.00000000000000000001}'
    error = error_of(api.post("bots/", body % account.pk), 400)
    assert error["fields"] == {
        "stop_loss_perc": "Stop-loss must have at most 4 decimals; '1.00000000000000000001' has more."
    }


def test_all_faults_are_told_at_once_and_nothing_is_stored(api: Api, account: ExchangeAccount) -> None:
    before = row_counts()
    error = error_of(api.post("bots/", {"account": account.pk, "leverage": 0, "interval": "7m"}), 400)
    assert set(error["fields"]) == {"name", "symbol", "leverage", "interval"}
    assert error["code"] == "invalid"
    assert row_counts() == before


def test_patch_changes_what_is_sent(api: Api, bot: BotConfig) -> None:
    response = api.patch(f"bots/{bot.pk}/", {"stop_loss_perc": "2.5"})
    assert response.status_code == 200
    assert (response.json()["stop_loss_perc"], response.json()["version"]) == ("2.5", 2)
    bot.refresh_from_db()
    assert (bot.stop_loss_perc, bot.name) == (Decimal("2.5"), "first")


def test_put_sets_everything(api: Api, bot: BotConfig) -> None:
    api.patch(f"bots/{bot.pk}/", {"stop_loss_perc": "2.5"})
    body = {"name": "second", "symbol": "BTCUSDT", "account": bot.account_id, "take_profit_perc": 4}
    changed = api.put(f"bots/{bot.pk}/", body).json()
    assert (changed["name"], changed["stop_loss_perc"], changed["take_profit_perc"]) == ("second", None, "4")
    before = values_of(bot)
    error = error_of(api.put(f"bots/{bot.pk}/", {"name": "third"}), 400)
    assert set(error["fields"]) == {"symbol", "account"}
    assert values_of(bot) == before


def test_a_bot_moves_to_another_account_of_its_owner_only(api: Api, bot: BotConfig) -> None:
    other = make_account(bot.user, name="other")
    assert api.patch(f"bots/{bot.pk}/", {"account": other.pk}).json()["account"] == other.pk
    foreign = make_account(make_owner())
    before = values_of(bot)
    for value in (foreign.pk, 10**30, -1, 0, None, "1", True, 1.5, [1]):
        error = error_of(api.patch(f"bots/{bot.pk}/", {"account": value}), 400)
        assert error["fields"] == {"account": "There is no such account; choose one of your own."}
    assert values_of(bot) == before


@pytest.mark.parametrize(
    "field", ["id", "user", "owner", "state", "realized_pnl", "is_active", "status", "version"]
)
def test_what_can_only_be_read_is_refused_with_what_can_be_set(api: Api, bot: BotConfig, field: str) -> None:
    before = values_of(bot)
    for send in (api.patch, api.put):
        error = error_of(send(f"bots/{bot.pk}/", {field: 1, "name": "changed"}), 400)
        assert list(error["fields"]) == [field]
        assert error["fields"][field].startswith(f"'{field}' can only be read. Fields are: account, name,")
    assert values_of(bot) == before


def test_deleting_leaves_the_journal(api: Api, bot: BotConfig) -> None:
    run = make_run(bot)
    assert api.delete(f"bots/{bot.pk}/").status_code == 204
    assert error_of(api.send("GET", f"bots/{bot.pk}/"), 404)["message"] == f"There is no bot {bot.pk}."
    assert api.get("bots/")["results"] == []
    assert api.get(f"runs/{run.pk}/")["bot"] == bot.pk
    error_of(api.delete(f"bots/{bot.pk}/"), 404)


@pytest.mark.parametrize("action", ["start", "run", "stop", "close"])
def test_asking_a_bot_answers_with_an_entry_that_can_be_looked_up(
    api: Api,
    bot: BotConfig,
    action: str,
    woken: list[tuple[int, int]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    if action != "start":
        services.bot_start(bot=bot, by=bot.user)
        put_in_position(bot)
    with django_capture_on_commit_callbacks(execute=True):
        response = api.post(f"bots/{bot.pk}/{action}/")
    assert response.status_code == 202
    answer = response.json()
    entry = BotInbox.objects.filter(bot=bot).first()
    assert entry is not None
    assert answer["id"] == f"inbox-{entry.pk}"
    assert response["Location"] == answer["url"] == f"http://testserver/api/v1/runs/inbox-{entry.pk}/"
    assert woken == [(bot.pk, entry.pk)]
    assert api.get(answer["url"].removeprefix("http://testserver")) == answer
    assert (answer["kind"], answer["handled_at"]) == ("run" if action in ("start", "run") else action, None)
    BotInbox.objects.filter(pk=entry.pk).update(handled_at=clock.now(), result="not buying")
    assert api.get(f"runs/inbox-{entry.pk}/")["result"] == "not buying"


def test_stopping_a_flat_bot_is_done_at_once_and_wakes_nobody(
    api: Api, bot: BotConfig, woken: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    services.bot_start(bot=bot, by=bot.user)
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(f"bots/{bot.pk}/stop/").json()
    assert answer["result"] == "Paused; there was no position to close."
    assert answer["handled_at"] is not None
    assert woken == []


def test_pausing_answers_with_the_bot(api: Api, bot: BotConfig) -> None:
    services.bot_start(bot=bot, by=bot.user)
    response = api.post(f"bots/{bot.pk}/pause/")
    assert response.status_code == 200
    assert (response.json()["is_active"], response.json()["status"]) == (False, "paused")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("start/", {"x": 1}, "There is no field 'x'. No field is taken here."),
        ("pause/", {"x": 1}, "There is no field 'x'. No field is taken here."),
        ("start/?x=1", None, "There is no parameter 'x'. No parameter is taken here."),
    ],
)
def test_actions_take_nothing(api: Api, bot: BotConfig, path: str, body: Any, message: str) -> None:
    before = values_of(bot)
    assert error_of(api.post(f"bots/{bot.pk}/{path}", body), 400)["message"] == message
    assert values_of(bot) == before


def test_what_the_state_of_things_forbids_is_409_and_changes_nothing(api: Api, bot: BotConfig) -> None:
    second = make_bot(bot.account, name="second")

    def refused(each: BotConfig, action: str, method: str = "POST") -> str:
        before, counts = values_of(each), row_counts()
        error = error_of(api.send(method, f"bots/{each.pk}/{action}"), 409)
        assert (values_of(each), row_counts()) == (before, counts)
        assert error["code"] == "refused"
        message: str = error["message"]
        return message

    assert refused(bot, "pause/") == "Bot first is already paused."
    assert refused(bot, "stop/") == "Bot first is already paused and has no position."
    assert refused(bot, "close/") == "Bot first has no position to close."
    assert refused(bot, "run/") == "Bot first is paused; start it first."
    services.bot_start(bot=bot, by=bot.user)
    assert refused(bot, "start/") == "Bot first is already active."
    assert "already traded by bot first" in refused(second, "start/")
    put_in_position(bot)
    assert refused(bot, "", "DELETE") == "Bot first can't be deleted: it is in position. Stop it first."
    error = error_of(api.patch(f"bots/{bot.pk}/", {"symbol": "ETHUSDT"}), 409)
    assert error["message"] == "Symbol can't be changed now: it is in position."
    BotConfig.objects.filter(pk=bot.pk).update(is_active=False)
    ExchangeSecret.objects.all().delete()
    assert refused(bot, "start/") == "Account main has no API key; enter one first."


def test_a_live_account_can_not_start_a_bot(api: Api, owner: Any) -> None:
    load_symbols("live")
    bot = make_bot(make_account(owner, name="real", environment="live"))
    assert error_of(api.post(f"bots/{bot.pk}/start/"), 409)["message"].startswith("Live trading is locked")


def test_the_state_tells_what_the_next_look_would_do(api: Api, bot: BotConfig) -> None:
    state = api.get(f"bots/{bot.pk}/state/")
    assert (state["bot"], state["status"], state["status_reason"]) == (bot.pk, "paused", "Not started yet.")
    assert (state["entry_price"], state["unrealized_pnl"], state["price"]) == (None, "0", None)
    assert state["outlook"] == {"acts": False, "status": "paused", "reasons": state["outlook"]["reasons"]}
    assert state["outlook"]["reasons"]
    assert state["outlook_error"] == ""
    assert not {"epoch", "seq", "id"} & set(state)


def test_a_position_is_priced_and_yesterdays_counters_read_as_nothing(api: Api, bot: BotConfig) -> None:
    from marketdata import prices

    prices.store(source_for("paper", "spot"), {"BTCUSDT": 60100.5}, clock.now())
    put_in_position(bot)
    BotState.objects.filter(bot=bot).update(
        daily_pnl=5, daily_trades_count=3, daily_limit="loss", realized_total=7, trading_day=date(2026, 1, 1)
    )
    state = api.get(f"bots/{bot.pk}/state/")
    assert (state["price"], state["unrealized_pnl"], state["entry_price"]) == ("60100.5", "1", "60000.5")
    assert (state["daily_pnl"], state["daily_trades_count"], state["daily_limit"]) == ("0", 0, "")
    assert state["realized_total"] == "7"
    BotState.objects.filter(bot=bot).update(trading_day=clock.now().date())
    state = api.get(f"bots/{bot.pk}/state/")
    assert (state["daily_pnl"], state["daily_trades_count"], state["daily_limit"]) == ("5", 3, "loss")


def test_the_last_error_and_the_reason_are_in_state_and_list(api: Api, bot: BotConfig) -> None:
    BotState.objects.filter(bot=bot).update(
        status="error (exchange)", status_reason="no answer", last_error_message="timed out"
    )
    for shown in (api.get(f"bots/{bot.pk}/state/"), api.get("bots/")["results"][0]):
        assert (shown["status"], shown["status_reason"], shown["last_error_message"]) == (
            "error (exchange)",
            "no answer",
            "timed out",
        )


def test_without_redis_bots_are_read_changed_and_asked(
    api: Api, bot: BotConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*arguments: Any, **options: Any) -> None:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(redis.connection.Connection, "connect", down)
    from tradebot.redis import redis_client

    redis_client().connection_pool.disconnect()
    state = api.get(f"bots/{bot.pk}/state/")
    assert (state["outlook"], state["outlook_error"]) == (None, "Not known: Redis does not answer.")
    assert api.get("bots/")["results"][0]["id"] == bot.pk
    assert api.get("summary/")["bots"] == {"paused": 1}
    assert api.patch(f"bots/{bot.pk}/", {"stop_loss_perc": 3}).status_code == 200
    assert api.post(f"bots/{bot.pk}/start/").status_code == 202
    bot.refresh_from_db()
    assert bot.is_active
