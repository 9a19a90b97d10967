"""The list of bots: what it shows, its actions, and that it costs the same for five bots and for fifty."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bots import services
from bots.admin import bots as bots_admin
from bots.models import BotConfig, BotInbox
from tests.admin.support import BOT_CHANGE, BOT_LIST, act, messages_of, page
from tests.support.owners import make_account, make_bot, make_owner, put_in_position, row_counts, values_of
from tradebot.clock import now
from trading.models import BotState, ExchangeAccount

pytestmark = pytest.mark.django_db


def row_text(client: Client) -> str:
    """The visible text of the list's table."""
    import re

    table = page(client, BOT_LIST).split('id="result_list"')[1].split("</table>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", table).split())


def test_the_list_shows_where_each_bot_stands(browser: Client, bot: BotConfig) -> None:
    put_in_position(bot)
    BotState.objects.filter(bot=bot).update(
        trading_day=now().date(),
        daily_pnl=Decimal("-1.25"),
        daily_trades_count=3,
        status_reason="EMA 9 crossed above EMA 21",
        last_run_at=datetime(2026, 11, 24, 7, 49, 2, tzinfo=UTC),
        last_error_message="the price was not to be had",
    )
    text = row_text(browser)
    for expected in (
        "first ema_rsi · 1m BTCUSDT main (Paper)",
        "in position at last run 07:49:02 EMA 9 crossed above EMA 21",
        " 0.01 60000.5 -1.25 3 2026-11-24 07:49:02 UTC ",
        "the price was not to be had",
    ):
        assert expected in text


def test_what_no_run_said_is_not_marked_with_the_last_run(
    browser: Client, bot: BotConfig, woken: list[Any]
) -> None:
    BotState.objects.filter(bot=bot).update(last_run_at=datetime(2026, 11, 24, 7, 49, 2, tzinfo=UTC))
    for service in (services.bot_start, services.bot_pause):
        service(bot=bot, by=bot.user)
        assert "at last run" not in row_text(browser)
    assert "paused Paused by hand. - - 0.00 0 2026-11-24 07:49:02 UTC -" in row_text(browser)


def test_counters_of_another_day_read_as_zero(browser: Client, bot: BotConfig) -> None:
    BotState.objects.filter(bot=bot).update(
        trading_day="2026-01-01", daily_pnl=Decimal("-777.25"), daily_trades_count=333
    )
    text = row_text(browser)
    assert "777" not in text
    assert "333" not in text


@pytest.mark.parametrize("name", ["owner", "superuser"])
def test_the_list_costs_as_many_queries_for_fifty_bots_as_for_five(
    name: str, account: ExchangeAccount, owner: Any
) -> None:
    client = Client()
    client.force_login(owner if name == "owner" else make_owner(superuser=True))
    url = reverse(BOT_LIST)

    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    for _ in range(5):
        make_bot(account)
    client.get(url)
    few = cost()
    for _ in range(45):
        make_bot(make_account(owner) if BotConfig.objects.count() % 9 == 0 else account)
    assert BotConfig.objects.count() == 50
    assert cost() == few
    assert few <= 12


def test_start_claims_wakes_and_tells(
    browser: Client, bot: BotConfig, woken: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        response = act(browser, "start", bot)
    bot.refresh_from_db()
    assert bot.is_active
    assert messages_of(response) == ["Started: first."]
    assert woken == [(bot.pk, BotInbox.objects.get().pk)]
    assert LogEntry.objects.get().get_change_message() == "Started."


def test_each_bot_of_an_action_succeeds_or_is_refused_by_itself(
    browser: Client, bot: BotConfig, account: ExchangeAccount, woken: list[Any]
) -> None:
    second, third = make_bot(account, name="second"), make_bot(account, name="third", symbol="ETHUSDT")
    response = act(browser, "start", bot, second, third)
    assert messages_of(response) == [
        "Started: first, third.",
        "BTCUSDT of account main is already traded by bot first; pause that one first.",
    ]
    assert set(BotConfig.objects.filter(is_active=True)) == {bot, third}
    assert LogEntry.objects.count() == 2


def test_pause_and_run_now(browser: Client, bot: BotConfig, woken: list[Any]) -> None:
    assert messages_of(act(browser, "run_now", bot)) == ["Bot first is paused; start it first."]
    assert messages_of(act(browser, "pause", bot)) == ["Bot first is already paused."]
    services.bot_start(bot=bot, by=bot.user)
    assert messages_of(act(browser, "start", bot)) == ["Bot first is already active."]
    assert messages_of(act(browser, "run_now", bot)) == ["Asked for a run of: first."]
    assert messages_of(act(browser, "pause", bot)) == ["Paused: first."]
    bot.refresh_from_db()
    assert not bot.is_active


def test_stop_asks_first_and_changes_nothing_until_it_is_confirmed(
    browser: Client, bot: BotConfig, woken: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    services.bot_start(bot=bot, by=bot.user)
    put_in_position(bot)
    before, counts = values_of(bot), row_counts()
    response = act(browser, "stop", bot)
    assert "first: BTCUSDT, main (Paper), <strong>in position</strong>" in response.content.decode()
    assert (values_of(bot), row_counts()) == (before, counts)
    with django_capture_on_commit_callbacks(execute=True):
        response = act(browser, "stop", bot, confirmed="yes")
    assert messages_of(response) == ["Stopped: first."]
    entry = BotInbox.objects.get(kind="stop")
    assert woken == [(bot.pk, entry.pk)]
    bot.refresh_from_db()
    assert not bot.is_active


def test_stopping_a_flat_bot_wakes_nobody(
    browser: Client, bot: BotConfig, woken: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    services.bot_start(bot=bot, by=bot.user)
    with django_capture_on_commit_callbacks(execute=True):
        act(browser, "stop", bot, confirmed="yes")
    assert woken == []


def test_a_message_that_can_not_be_sent_does_not_undo_the_start(
    browser: Client, bot: BotConfig, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def down(bot_id: int, inbox_id: int) -> None:
        raise ConnectionError("Redis is down")

    monkeypatch.setattr("bots.admin.bots.wake_bot", down)
    with django_capture_on_commit_callbacks() as callbacks:
        response = act(browser, "start", bot)
    assert messages_of(response) == ["Started: first."]
    assert len(callbacks) == 1


@pytest.mark.parametrize("action", ["start", "pause", "stop", "run_now"])
def test_an_action_over_too_many_bots_is_refused_at_once(
    browser: Client, bot: BotConfig, account: ExchangeAccount, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bots_admin, "MOST_AT_ONCE", 1)
    second = make_bot(account, name="second", symbol="ETHUSDT")
    before = row_counts()
    response = act(browser, action, bot, second, confirmed="yes")
    assert messages_of(response) == ["Choose at most 1 bots at a time."]
    assert row_counts() == before
    assert not BotConfig.objects.filter(is_active=True).exists()


def test_many_refusals_are_summed_up(
    browser: Client, account: ExchangeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bots_admin, "MOST_TOLD", 2)
    found = [make_bot(account, name=f"bot {number}") for number in range(5)]
    assert messages_of(act(browser, "pause", *found)) == [
        "Bot bot 0 is already paused.",
        "Bot bot 1 is already paused.",
        "3 more were refused.",
    ]


def test_bots_can_not_be_deleted_in_bulk(browser: Client, bot: BotConfig) -> None:
    assert "delete_selected" not in page(browser, BOT_LIST)
    before = row_counts()
    act(browser, "delete_selected", bot, post="yes")
    assert row_counts() == before


def test_a_viewer_without_the_right_to_change_gets_no_action(owner: Any, bot: BotConfig) -> None:
    owner.user_permissions.set([])
    from django.contrib.auth.models import Permission

    owner.user_permissions.add(Permission.objects.get(codename="view_botconfig"))
    client = Client()
    client.force_login(owner)
    assert 'name="action"' not in page(client, BOT_LIST)
    act(client, "start", bot)
    bot.refresh_from_db()
    assert not bot.is_active
    assert client.get(reverse(BOT_CHANGE, args=[bot.pk])).status_code == 200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "paused"}, True),
        ({"status": "error"}, False),
        ({"is_active__exact": "1"}, False),
        ({"q": "first"}, True),
        ({"q": "BTC"}, True),
        ({"q": "\x00"}, None),
        ({"q": "x" * 10_000}, False),
        ({"p": "-1"}, None),
        ({"p": "1000000000"}, None),
        ({"o": "99.x"}, True),
    ],
    ids=str,
)
def test_filters_and_search_take_what_comes(
    browser: Client, bot: BotConfig, query: dict[str, str], found: bool | None
) -> None:
    response = browser.get(reverse(BOT_LIST), query, follow=True)
    assert response.status_code == 200
    if found is not None:
        assert (f"/botconfig/{bot.pk}/change/" in response.content.decode()) is found


@pytest.mark.parametrize(
    "lookup",
    ["user__password__startswith", "account__secret__key_hash__startswith", "account__user__username"],
)
def test_nobody_filters_by_what_the_list_does_not_show(browser: Client, bot: BotConfig, lookup: str) -> None:
    assert browser.get(reverse(BOT_LIST), {lookup: "a"}).status_code == 400


def test_an_empty_list_says_how_to_begin(browser: Client) -> None:
    assert "No bots yet. Add an account, then a bot on it" in page(browser, BOT_LIST)
