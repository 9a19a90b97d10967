"""Over all pages of the admin: rows belong to their owners, journals stay as they are, badges are shown."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bots import services
from bots.models import (
    BotConfig,
    BotInbox,
    BotRun,
    DeadLetter,
    Delivery,
    NotificationChannel,
    ScreenRun,
)
from tests.admin.support import page
from tests.support.owners import (
    NOW,
    load_symbols,
    make_account,
    make_bot,
    make_order,
    make_owner,
    make_request,
    row_counts,
)
from tradebot.admin_base import JournalAdmin, OwnedAdmin, number_text
from trading.models import (
    AccountState,
    AccountSweep,
    Adjustment,
    BooksCheck,
    Deployment,
    ExchangeAccount,
    Fill,
    FundingPayment,
    KillSwitch,
    Orphan,
    OutboxMessage,
    RiskLimits,
    Trade,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.broken_books("rows are made up to be shown"),
]

OURS = [model for model in admin.site._registry if model._meta.app_label in ("bots", "trading")]
JOURNALS = [model for model in OURS if isinstance(admin.site._registry[model], JournalAdmin)]
PAGES = ("change", "history", "delete")


def label(model: Any) -> str:
    return str(model._meta.label_lower)


def url(model: Any, name: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


# of all owners' bots: for superusers
OF_NOBODY = ("bots.screenrun", "bots.deadletter", "trading.deployment", "trading.bookscheck")


def fill_everything(account: ExchangeAccount, bot: BotConfig, count: int = 1) -> None:
    """At least `count` rows of every kind that belong to the account and its bot."""
    for number in range(count):
        request = make_request(bot, state="ACCEPTED")
        order = make_order(request)
        common = {"account": account, "bot": bot, "quantity": Decimal("0.01")}
        Fill.objects.create(
            **common,
            market="spot",
            symbol=bot.symbol,
            trade_id=order.pk,
            order=order,
            side="SELL",
            price=Decimal(60000),
            traded_at=NOW,
        )
        Trade.objects.create(
            bot_config=bot,
            user=bot.user,
            order=order,
            symbol=bot.symbol,
            side="SELL",
            purpose="EXIT",
            price=Decimal(60000),
            quantity_filled=Decimal("0.01"),
            binance_order_id=order.pk,
            created_at=NOW,
        )
        Adjustment.objects.create(**common, asset="BTC", kind="dust", reason="too little", created_at=NOW)
        FundingPayment.objects.create(
            account=account,
            bot=bot,
            tran_id=order.pk,
            symbol=bot.symbol,
            asset="USDT",
            amount=Decimal("-0.5"),
            paid_at=NOW,
        )
        AccountState.objects.create(account=account, asset=f"A{number}", free=5)
        channel = NotificationChannel.objects.create(
            user=account.user,
            name=f"STRANGE {account.pk} {number}",
            kind="webhook",
            target="https://example.com/",
            events=["trade"],
        )
        message = OutboxMessage.objects.create(user=account.user, event="test", created_at=NOW)
        Delivery.objects.create(message=message, channel=channel, next_try_at=NOW, created_at=NOW)
        if number == 0:
            RiskLimits.objects.create(user=account.user, account=account, max_open_positions=3)
            AccountSweep.objects.create(account=account, market="spot")
        KillSwitch.objects.create(
            scope="bot",
            user=bot.user,
            bot=bot,
            key=f"bot:{bot.pk}",
            reason=f"STRANGE {number}",
            set_by=bot.user,
            set_at=NOW,
            lifted_at=NOW if number else None,
        )
        BotInbox.objects.create(bot=bot, kind="run", source_id=f"test {number}", created_at=NOW)
        BotRun.objects.create(bot=bot, trigger="minute", key=f"{number}", slot=NOW, started_at=NOW)
        Orphan.objects.create(
            account=account,
            market="spot",
            symbol=bot.symbol,
            kind="orphan",
            client_id=f"STRANGE {order.pk}",
            exchange_id=order.pk,
            side="SELL",
            type="MARKET",
            quantity=Decimal("0.01"),
            status="FILLED",
            found_at=NOW,
        )
        Deployment.objects.create(nonce=f"{order.pk:06d}", started_at=NOW)
        BooksCheck.objects.create(scope="database", at=NOW)
        DeadLetter.objects.create(
            message_id=f"{account.pk} {number}", queue="exits", actor="recover-bot", first_at=NOW
        )
        ScreenRun.objects.create(
            slot=NOW + timedelta(minutes=ScreenRun.objects.count()), trigger="minute", chunk=0
        )


@pytest.fixture
def foreign(db: None) -> BotConfig:
    """A bot of somebody else, with a row of every kind; its names are easy to find on a page."""
    load_symbols()
    account = make_account(make_owner("stranger"), name="STRANGE account")
    bot = make_bot(account, name="STRANGE bot", symbol="SOLUSDT")
    fill_everything(account, bot)
    return bot


def test_every_table_that_is_promised_has_a_page() -> None:
    assert {label(model) for model in OURS} == {
        "bots.botconfig",
        "bots.botinbox",
        "bots.botrun",
        "bots.deadletter",
        "bots.delivery",
        "bots.notificationchannel",
        "bots.screenrun",
        "trading.accountstate",
        "trading.accountsweep",
        "trading.adjustment",
        "trading.bookscheck",
        "trading.deployment",
        "trading.exchangeaccount",
        "trading.fill",
        "trading.fundingpayment",
        "trading.killswitch",
        "trading.order",
        "trading.orderrequest",
        "trading.orphan",
        "trading.risklimits",
        "trading.trade",
    }
    assert all(isinstance(admin.site._registry[model], OwnedAdmin) for model in OURS)
    writable = {label(model) for model in OURS if model not in JOURNALS}
    assert writable == {
        "bots.botconfig",
        "bots.notificationchannel",
        "trading.exchangeaccount",
        "trading.killswitch",
        "trading.risklimits",
    }


@pytest.mark.parametrize("model", OURS, ids=label)
def test_rows_of_others_are_answered_like_rows_that_do_not_exist(
    model: Any, browser: Client, foreign: BotConfig
) -> None:
    row = model._default_manager.get()
    before = row_counts()
    response = browser.get(url(model, "changelist"))
    assert response.status_code == (403 if label(model) in OF_NOBODY else 200)
    for content in (response.content, browser.get(url(model, "changelist"), {"q": "S"}).content):
        assert b"STRANGE" not in content
        assert b"SOLUSDT" not in content
        assert f"/{row.pk}/change/".encode() not in content
    for name in PAGES:
        for method in (browser.get, browser.post):
            answers = [method(url(model, name, pk)) for pk in (row.pk, 10**9)]
            assert answers[0].status_code == answers[1].status_code
            assert answers[0].status_code in (302, 403, 404)
            assert b"STRANGE" not in answers[0].content
    assert row_counts() == before
    assert type(row).objects.filter(pk=row.pk).values().get() == {
        field.attname: getattr(row, field.attname) for field in model._meta.concrete_fields
    }


def test_actions_do_not_reach_bots_of_others(browser: Client, foreign: BotConfig) -> None:
    for action in ("start", "pause", "stop", "run_now"):
        data = {"action": action, "_selected_action": [foreign.pk], "confirmed": "yes", "select_across": "1"}
        response = browser.post(url(BotConfig, "changelist"), data, follow=True)
        assert b"STRANGE" not in response.content
    foreign.refresh_from_db()
    assert not foreign.is_active
    assert BotInbox.objects.count() == 1


@pytest.mark.parametrize("model", OURS, ids=label)
def test_ones_own_rows_are_shown(model: Any, browser: Client, bot: BotConfig) -> None:
    fill_everything(bot.account, bot)
    row = model._default_manager.first()
    if label(model) in OF_NOBODY:
        browser.force_login(make_owner(superuser=True))
    assert f"/{row.pk}/change/" in page(browser, f"admin:{label(model).replace('.', '_')}_changelist")
    assert browser.get(url(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", JOURNALS, ids=label)
def test_journals_are_read_only_even_for_a_superuser(model: Any, foreign: BotConfig) -> None:
    client = Client()
    client.force_login(make_owner(superuser=True))
    row = model._default_manager.get()
    before = row_counts()
    assert client.get(url(model, "add")).status_code == 403
    assert client.post(url(model, "add"), {}).status_code == 403
    response = client.get(url(model, "change", row.pk))
    assert response.status_code == 200
    assert b'name="_save"' not in response.content
    assert client.post(url(model, "change", row.pk), {"reason": "mine"}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    client.post(url(model, "changelist"), data)
    assert row_counts() == before


@pytest.mark.parametrize("model", OURS, ids=label)
def test_a_staff_user_without_permissions_sees_nothing(model: Any, foreign: BotConfig, owner: Any) -> None:
    owner.user_permissions.clear()
    client = Client()
    client.force_login(owner)
    assert client.get(url(model, "changelist")).status_code == 403


@pytest.mark.parametrize("model", OURS, ids=label)
def test_every_list_costs_the_same_for_five_rows_and_for_fifty(model: Any, bot: BotConfig) -> None:
    client = Client()
    client.force_login(make_owner(superuser=True))

    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url(model, "changelist")).status_code == 200
        return len(captured)

    def once_an_account(account: ExchangeAccount) -> None:
        RiskLimits.objects.create(user=account.user, account=account)
        AccountSweep.objects.create(account=account, market="spot")

    def more(user: Any) -> None:
        for _ in range(4):
            once_an_account(make_bot(make_account(user)).account)

    a_row_an_account = (BotConfig, ExchangeAccount, RiskLimits, AccountSweep)
    if model in a_row_an_account:
        once_an_account(bot.account)
        more(bot.user)
    else:
        fill_everything(bot.account, bot, 5)
    client.get(url(model, "changelist"))
    few = cost()
    for _ in range(9):
        another = make_bot(make_account(make_owner()))
        if model in a_row_an_account:
            once_an_account(another.account)
            more(another.account.user)
        else:
            fill_everything(another.account, another, 5)
    assert model._default_manager.count() >= 50
    assert cost() == few


def test_numbers_of_the_journal_have_no_zeros_at_their_end(browser: Client, bot: BotConfig) -> None:
    fill_everything(bot.account, bot)
    text = page(browser, "admin:trading_fill_changelist")
    assert ">0.01<" in text
    assert "0.0100" not in text
    assert "0.0100" not in page(browser, "admin:trading_fill_change", Fill.objects.get().pk)


@pytest.mark.parametrize(
    ("environments", "shown"),
    [((), ["paper"]), (("paper",), ["paper"]), (("paper", "testnet"), ["testnet", "paper"])],
)
def test_every_page_shows_the_environments_that_are_ones_own(
    browser: Client, owner: Any, environments: tuple[str, ...], shown: list[str]
) -> None:
    make_account(make_owner(), environment="live")
    for environment in environments:
        make_account(owner, environment=environment)
    names = [
        f"admin:{label(model).replace('.', '_')}_changelist"
        for model in OURS
        if label(model) not in OF_NOBODY
    ]
    pages = ["admin:index", "admin:password_change", "admin:bots_botconfig_add", *names]
    for name in pages:
        branding = page(browser, name).split('id="branding"')[1].split("</div>")[0]
        badges = "".join(
            f'<span class="environment environment-{each}">{each.upper()}</span>' for each in shown
        )
        assert badges in branding
        assert branding.count("<span") == len(shown)
        assert "TradeBot" in branding


def test_the_login_page_shows_the_environments_of_the_deployment(db: None) -> None:
    make_account(make_owner(), environment="live")
    text = page(Client(), "admin:login")
    assert '<span class="environment environment-live">LIVE</span>' in text
    assert "| TradeBot" in text


def test_an_empty_list_of_trades_says_when_the_first_one_is_expected(
    browser: Client, bot: BotConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading.admin.now", lambda: NOW.replace(minute=59, second=30))
    empty = "No trades yet, and no bot is active: start one in the list of bots."
    assert empty in page(browser, "admin:trading_trade_changelist")
    services.bot_start(bot=bot, by=bot.user)
    assert (
        "No trades yet. Bots are looked at each minute; the first trade usually comes within a minute of "
        "the start. The next look is at 13:00 UTC."
    ) in page(browser, "admin:trading_trade_changelist")
    assert "No trades yet" not in page(browser, "admin:trading_trade_changelist", side="BUY")
    fill_everything(bot.account, bot)
    assert "No trades yet" not in page(browser, "admin:trading_trade_changelist")


def test_another_owners_active_bot_is_no_reason_to_expect_a_trade(
    browser: Client, foreign: BotConfig
) -> None:
    services.bot_start(bot=foreign, by=foreign.user)
    Trade.objects.all().delete()
    assert "no bot is active" in page(browser, "admin:trading_trade_changelist")


@pytest.mark.parametrize("name", ["admin.css", "admin.js", "favicon.svg"])
def test_the_static_files_of_the_pages_are_served(browser: Client, name: str) -> None:
    assert f'="/static/bots/{name}"' in page(browser, "admin:index")
    assert browser.get(f"/static/bots/{name}").status_code == 200


@pytest.mark.parametrize(
    ("value", "text", "money"),
    [
        (None, "-", "-"),
        (0, "0", "0.00"),
        ("-0.000000000000000000", "0", "0.00"),
        ("12", "12", "12.00"),
        ("-1.751", "-1.751", "-1.7510"),
        ("1E+3", "1000", "1000.00"),
        ("-0.420312345678901234", "-0.42031235", "-0.4203"),
        ("60000.523456789012345678", "60000.52345679", "60000.5235"),
        ("123456789.5", "123456789.5", "123456789.50"),
        ("0.00001234", "0.00001234", "0.000012"),
        ("0.000000000123", "0.00000000012", "0.00000000012"),
        ("0.00009999", "0.00009999", "0.0001"),
    ],
)
def test_numbers_have_at_most_eight_decimals_and_money_two_or_four(value: Any, text: str, money: str) -> None:
    number = None if value is None else Decimal(value)
    assert (number_text(number), number_text(number, money=True)) == (text, money)


def test_trades_show_money_short_times_in_utc_and_headings_over_their_numbers(
    browser: Client, bot: BotConfig
) -> None:
    fill_everything(bot.account, bot)
    Trade.objects.update(realized_pnl=Decimal("-0.420312345678901234"), commission_quote=Decimal("0.35"))
    trade = Trade.objects.get()
    time = f"{trade.created_at:%Y-%m-%d %H:%M:%S} UTC"
    for name, arguments in (("changelist", []), ("change", [trade.pk])):
        text = page(browser, f"admin:trading_trade_{name}", *arguments)
        for expected in (">-0.4203<", ">0.35<", time):
            assert expected in text
    assert "Bot:" in text
    assert "column-realized_pnl_number" in page(browser, "admin:trading_trade_changelist")


def test_a_journal_row_is_named_without_eighteen_decimals(bot: BotConfig) -> None:
    fill_everything(bot.account, bot)
    assert str(Adjustment.objects.get()) == "dust 0.01 BTC"


def test_tables_that_stay_empty_have_no_page(browser: Client) -> None:
    browser.force_login(make_owner(superuser=True))
    text = page(browser, "admin:index")
    assert "dramatiq" not in text.lower()
    assert {"Bots and runs", "Trading", "Market data"} <= set(re.findall(r">\s*([A-Z][a-z ]+?)\s*</a>", text))
