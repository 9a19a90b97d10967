"""The form of a bot: good input is stored by the services, bad input is an error at its field."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from bots.explain import explain
from bots.models import BotConfig
from tests.admin.support import (
    BOT_ADD,
    BOT_CHANGE,
    BOT_DELETE,
    BOT_LIST,
    bot_form,
    errors_of,
    messages_of,
    page,
)
from tests.support.owners import (
    load_symbols,
    make_account,
    make_bot,
    make_owner,
    put_in_position,
    row_counts,
    values_of,
)
from tradebot.clock import now
from trading.models import ExchangeAccount

pytestmark = pytest.mark.django_db


def test_a_bot_is_added_paused_with_its_owner_and_defaults(
    browser: Client, owner: Any, account: ExchangeAccount
) -> None:
    data = bot_form(account, stop_loss_perc="2.5", strategy_params='{"ema_fast": 5}')
    response = browser.post(reverse(BOT_ADD), data)
    bot = BotConfig.objects.get()
    assert response.url == reverse(BOT_LIST)
    assert (bot.user, bot.account, bot.is_active, bot.version) == (owner, account, False, 1)
    assert (bot.stop_loss_perc, bot.take_profit_perc, bot.compound) == (Decimal("2.5"), None, False)
    assert (bot.strategy_params["ema_fast"], bot.strategy_params["ema_slow"]) == (5, 21)
    assert bot.state.status == "paused"
    assert LogEntry.objects.get().object_id == str(bot.pk)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a\x00b"),
        ("name", "x" * 100_000),
        ("name", "a\u202eb"),
        ("name", "a\u200bb"),
        ("name", " "),
        ("symbol", "btcusdt "),
        ("symbol", " BTCUSDT"),
        ("symbol", "BTC/USDT"),
        ("symbol", "OLDUSDT"),
        ("symbol", "ETHBTC"),
        ("symbol", "BTCUSDT\x00"),
        ("symbol", ""),
        ("interval", "7m"),
        ("market", "x"),
        ("strategy", "martingale"),
        ("strategy", ""),
        ("position_type", "short"),
        ("leverage", "2"),
        ("leverage", "0"),
        ("leverage", "126"),
        ("leverage", "2.5"),
        ("leverage", "\uff11"),
        ("initial_capital", "NaN"),
        ("initial_capital", "Infinity"),
        ("initial_capital", "1e309"),
        ("initial_capital", "1e3"),
        ("initial_capital", "-0"),
        ("initial_capital", "-1"),
        ("initial_capital", "0"),
        ("initial_capital", "1,5"),
        ("initial_capital", "\uff11\uff12"),
        ("initial_capital", "1" * 30),
        ("initial_capital", "0.000000000000000001"),
        ("initial_capital", "true"),
        ("initial_capital", " 5"),
        ("initial_capital", ""),
        ("stop_loss_perc", "0"),
        ("stop_loss_perc", "100"),
        ("stop_loss_perc", "101"),
        ("stop_loss_perc", "-1"),
        ("take_profit_perc", "-1"),
        ("max_daily_trades", "-1"),
        ("max_daily_trades", "1000000000000"),
        ("cooldown_minutes", "x"),
        ("trailing_activation_perc", "1"),
        ("strategy_params", "{"),
        ("strategy_params", "[]"),
        ("strategy_params", "null"),
        ("strategy_params", '{"ema_fast": 5, "ema_fast": 6}'),
        ("strategy_params", '{"ema_fast": NaN}'),
        ("strategy_params", '{"ema_fast": 1e309}'),
        ("strategy_params", '{"ema_fast": 21, "ema_slow": 21}'),
        ("strategy_params", '{"ema_fast": 0}'),
        ("strategy_params", '{"ema_slow": 1000000000}'),
        ("strategy_params", '{"rsi_entry_max": 80, "rsi_exit": 20}'),
        ("strategy_params", '{"x\\u0000": 1}'),
        ("strategy_params", '{"a":' + "[" * 10_000),
        ("account", "0"),
        ("account", ""),
        ("account", "9" * 30),
        ("account", "x"),
    ],
    ids=lambda value: str(value)[:20].replace("\x00", "NUL"),
)
def test_bad_input_is_an_error_at_its_field_and_changes_nothing(
    browser: Client, account: ExchangeAccount, field: str, value: str
) -> None:
    before = row_counts()
    errors = errors_of(browser.post(reverse(BOT_ADD), bot_form(account, **{field: value})))
    assert list(errors) == [field]
    assert errors[field][0].endswith(".")
    assert row_counts() == before


def test_errors_carry_the_sentence_of_the_validation(browser: Client, account: ExchangeAccount) -> None:
    data = bot_form(account, stop_loss_perc="100", strategy_params='{"ema_fast": 21, "ema_slow": 21}')
    errors = errors_of(browser.post(reverse(BOT_ADD), data))
    assert errors == {
        "stop_loss_perc": ["Stop-loss must be a number above 0 and below 100; not '100'."],
        "strategy_params": ["ema_fast (21) must be below ema_slow (21)."],
    }


def test_another_owners_account_is_answered_like_one_that_does_not_exist(
    browser: Client, account: ExchangeAccount
) -> None:
    other = make_account(make_owner(), name="of somebody else")
    before = row_counts()
    answers = [
        errors_of(browser.post(reverse(BOT_ADD), bot_form(account, account=pk))) for pk in (other.pk, 10**9)
    ]
    assert answers[0] == answers[1]
    assert list(answers[0]) == ["account"]
    assert row_counts() == before
    assert "of somebody else" not in page(browser, BOT_ADD)


def test_an_empty_form_names_every_field_that_must_be_filled_in(browser: Client) -> None:
    errors = errors_of(browser.post(reverse(BOT_ADD), {}))
    assert {"name", "symbol", "account", "initial_capital", "leverage", "strategy"} <= set(errors)


def test_without_symbols_the_form_says_that_they_are_not_loaded(browser: Client, owner: Any) -> None:
    account = make_account(owner)
    errors = errors_of(browser.post(reverse(BOT_ADD), bot_form(account)))
    assert errors == {
        "symbol": [
            "The list of symbols of the paper exchange is not loaded yet; "
            "try again when the exchange has answered."
        ]
    }


def test_the_form_offers_the_symbols_that_trade(browser: Client, account: ExchangeAccount) -> None:
    text = page(browser, BOT_ADD)
    assert '<option value="BTCUSDT">' in text
    assert "OLDUSDT" not in text


def test_the_change_page_shows_numbers_plainly_and_saving_it_untouched_changes_nothing(
    browser: Client, bot: BotConfig
) -> None:
    response = browser.get(reverse(BOT_CHANGE, args=[bot.pk]))
    form = response.context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    assert (shown["initial_capital"], shown["trailing_step_perc"]) == ("1000", "0.1")
    assert json.loads(shown["strategy_params"])["ema_fast"] == 9
    before = values_of(bot)
    data = {name: value for name, value in shown.items() if value is not None and value is not False}
    response = browser.post(reverse(BOT_CHANGE, args=[bot.pk]), data)
    assert response.status_code == 302
    assert values_of(bot) == before
    assert LogEntry.objects.get().get_change_message() == "No fields changed."


def test_a_change_is_stored_with_a_new_version(browser: Client, bot: BotConfig) -> None:
    data = bot_form(bot.account, name="renamed", stop_loss_perc="3")
    assert browser.post(reverse(BOT_CHANGE, args=[bot.pk]), data).status_code == 302
    bot.refresh_from_db()
    assert (bot.name, bot.stop_loss_perc, bot.version) == ("renamed", 3, 2)


def test_what_is_not_in_the_form_can_not_be_set_by_it(browser: Client, bot: BotConfig) -> None:
    other = make_owner()
    data = bot_form(bot.account, user=other.pk, id=77, is_active="on", version=9, deleted_at="2026-01-01")
    browser.post(reverse(BOT_CHANGE, args=[bot.pk]), data)
    after = BotConfig.objects.get(pk=bot.pk)
    assert (after.user, after.is_active, after.version, after.deleted_at) == (bot.user, False, 1, None)


def test_in_position_a_change_of_symbol_is_refused_with_the_reason(browser: Client, bot: BotConfig) -> None:
    put_in_position(bot)
    before = values_of(bot)
    data = bot_form(bot.account, symbol="ETHUSDT")
    errors = errors_of(browser.post(reverse(BOT_CHANGE, args=[bot.pk]), data))
    assert errors == {"__all__": ["Symbol can't be changed now: it is in position."]}
    assert values_of(bot) == before


def test_what_changed_between_check_and_save_is_a_message(
    browser: Client, bot: BotConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_position(bot)
    monkeypatch.setattr("bots.admin.forms.change_refusal", lambda *arguments: None)
    before = values_of(bot)
    data = bot_form(bot.account, symbol="ETHUSDT")
    response = browser.post(reverse(BOT_CHANGE, args=[bot.pk]), data, follow=True)
    assert messages_of(response) == ["Symbol can't be changed now: it is in position."]
    assert values_of(bot) == before
    assert not LogEntry.objects.exists()


def test_a_superuser_adds_a_bot_for_the_owner_of_the_account(account: ExchangeAccount) -> None:
    client = Client()
    client.force_login(make_owner(superuser=True))
    assert client.post(reverse(BOT_ADD), bot_form(account)).status_code == 302
    assert BotConfig.objects.get().user == account.user


def test_deleting_goes_through_the_service(browser: Client, bot: BotConfig) -> None:
    url = reverse(BOT_DELETE, args=[bot.pk])
    assert browser.get(url).status_code == 200
    put_in_position(bot)
    before = values_of(bot)
    response = browser.post(url, {"post": "yes"}, follow=True)
    assert messages_of(response) == ["Bot first can't be deleted: it is in position. Stop it first."]
    assert values_of(bot) == before
    assert not LogEntry.objects.exists()


def test_a_deleted_bot_is_gone_from_the_admin_and_its_row_stays(browser: Client, bot: BotConfig) -> None:
    browser.post(reverse(BOT_DELETE, args=[bot.pk]), {"post": "yes"})
    bot.refresh_from_db()
    assert bot.deleted_at is not None
    assert browser.get(reverse(BOT_CHANGE, args=[bot.pk])).status_code == 302
    assert "No bots yet." in page(browser, BOT_LIST)


def test_the_name_of_a_bot_is_shown_escaped_everywhere(browser: Client, account: ExchangeAccount) -> None:
    bot = make_bot(account, name="<script>alert(1)</script>")
    load_symbols()
    for url in (
        reverse(BOT_LIST),
        reverse(BOT_CHANGE, args=[bot.pk]),
        reverse(BOT_DELETE, args=[bot.pk]),
        reverse("admin:bots_botconfig_history", args=[bot.pk]),
    ):
        content = browser.get(url).content.decode()
        assert "<script>alert" not in content
        assert "&lt;script&gt;alert" in content


def test_the_page_of_a_bot_says_what_the_next_look_would_decide(browser: Client, bot: BotConfig) -> None:
    reasons = explain(bot, now()).decision.reasons
    assert reasons
    assert reasons[0] in page(browser, BOT_CHANGE, bot.pk)


def test_the_page_of_a_bot_opens_while_redis_is_down(
    browser: Client, bot: BotConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*arguments: Any) -> None:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr("bots.admin.bots.explain", down)
    assert "Not known: Redis does not answer." in page(browser, BOT_CHANGE, bot.pk)


def test_percentages_say_so_in_their_labels(browser: Client) -> None:
    text = page(browser, BOT_ADD)
    for label in (
        "Stop-loss (%)",
        "Risk per trade (%)",
        "Trailing stop (%)",
        "Cool-down",
        "Strategy parameters",
    ):
        assert f">{label}:</label>" in text
    assert "perc:" not in text
