"""Create, change and delete, owners and locks: a refusal changes nothing."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from bots import services
from bots.models import BotConfig
from tests.services.support import refused, start, state_of
from tests.support.owners import (
    NOW,
    load_symbols,
    make_account,
    make_bot,
    make_order,
    make_owner,
    make_request,
    put_in_position,
    values_of,
)
from tradebot.errors import InvalidInput, Refused
from trading.locks import lock_state
from trading.models import BotState, ExchangeAccount, SymbolClaim
from trading.models.journal import DOUBT_STATES

pytestmark = pytest.mark.django_db


def test_a_new_bot_is_paused_and_has_a_state(account: ExchangeAccount) -> None:
    bot = services.bot_create(
        user=account.user, account=account, values={"name": "first", "symbol": "ETHUSDT"}
    )
    assert not bot.is_active
    assert (state_of(bot).status, state_of(bot).status_reason) == ("paused", "Not started yet.")
    assert not SymbolClaim.objects.exists()


def test_a_change_counts_up_the_version_and_keeps_the_rest(bot: BotConfig) -> None:
    changed = services.bot_change(bot=bot, values={"stop_loss_perc": "2.5"}, by=bot.user)
    bot.refresh_from_db()
    assert (changed.version, bot.version, bot.stop_loss_perc, bot.name) == (2, 2, Decimal("2.5"), "first")


def test_a_change_to_the_same_values_changes_nothing(bot: BotConfig) -> None:
    before = values_of(bot)
    services.bot_change(bot=bot, values={"name": "first", "initial_capital": "1000"}, by=bot.user)
    assert values_of(bot) == before


def test_a_bad_change_changes_nothing(bot: BotConfig) -> None:
    values = {"stop_loss_perc": "100", "name": "other"}
    message = refused(services.bot_change, bot, InvalidInput, values=values)
    assert message.startswith("Stop-loss must be a number above 0 and below 100")


def test_other_settings_can_change_while_the_symbol_is_halted_or_unknown(bot: BotConfig) -> None:
    BotConfig.objects.filter(pk=bot.pk).update(symbol="OLDUSDT")
    services.bot_change(bot=bot, values={"symbol": "OLDUSDT", "stop_loss_perc": 2}, by=bot.user)
    bot.refresh_from_db()
    assert bot.stop_loss_perc == 2


def test_in_position_what_the_position_hangs_on_can_not_change(
    bot: BotConfig, account: ExchangeAccount
) -> None:
    put_in_position(bot)
    message = refused(services.bot_change, bot, values={"symbol": "ETHUSDT"})
    assert message == "Symbol can't be changed now: it is in position."
    other = make_account(account.user)
    message = refused(services.bot_change, bot, values={}, account=other)
    assert message == "Account can't be changed now: it is in position."
    services.bot_change(bot=bot, values={"stop_loss_perc": 3}, by=bot.user)


def test_the_claim_moves_with_the_symbol_of_an_active_bot(bot: BotConfig) -> None:
    start(bot)
    services.bot_change(bot=bot, values={"symbol": "ETHUSDT"}, by=bot.user)
    assert SymbolClaim.objects.get().symbol == "ETHUSDT"


def test_an_active_bot_can_not_move_to_a_symbol_that_another_one_trades(
    bot: BotConfig, account: ExchangeAccount
) -> None:
    start(bot)
    second = make_bot(account, name="second", symbol="ETHUSDT")
    start(second)
    message = refused(services.bot_change, second, values={"symbol": "BTCUSDT"})
    assert message == ("BTCUSDT of account main is already traded by bot first; pause that one first.")
    assert set(SymbolClaim.objects.values_list("bot__name", "symbol")) == {
        ("first", "BTCUSDT"),
        ("second", "ETHUSDT"),
    }


def test_an_active_bot_can_not_move_to_a_live_account(bot: BotConfig, account: ExchangeAccount) -> None:
    start(bot)
    load_symbols("live")
    live = make_account(account.user, name="real", environment="live")
    message = refused(services.bot_change, bot, values={}, account=live)
    assert message.startswith("Live trading is locked in this version: account real is live")


def test_a_bot_moves_only_to_an_account_of_its_owner(bot: BotConfig) -> None:
    message = refused(services.bot_change, bot, InvalidInput, values={}, account=make_account(make_owner()))
    assert message == "There is no such account; choose one of your own."


def test_a_deleted_bot_is_gone_for_every_service_but_its_journal_stays(bot: BotConfig) -> None:
    start(bot)
    order = make_order(make_request(bot, state="ACCEPTED"))
    services.bot_delete(bot=bot, by=bot.user)
    bot.refresh_from_db()
    assert bot.deleted_at is not None
    assert not bot.is_active
    assert not SymbolClaim.objects.exists()
    assert bot.inbox.get().result == "The bot was deleted."
    order.refresh_from_db()
    message = f"There is no bot {bot.pk}; look at the list of your bots for its number."
    for action in (
        services.bot_start,
        services.bot_pause,
        services.bot_stop,
        services.bot_close,
        services.bot_run_now,
        services.bot_delete,
    ):
        assert refused(action, bot, InvalidInput) == message
    assert refused(services.bot_change, bot, InvalidInput, values={}) == message


@pytest.mark.broken_books("the ties are made up, one by one")
def test_a_bot_is_not_deleted_while_something_ties_it_to_the_market(bot: BotConfig) -> None:
    request = make_request(bot)
    assert refused(services.bot_delete, bot) == (
        "Bot first can't be deleted: the outcome of an order is not known yet. Stop it first."
    )
    request.state, request.reason, request.resolved_at = "ACCEPTED", "test", NOW
    request.save()
    order = make_order(request, live=True)
    assert refused(services.bot_delete, bot) == (
        "Bot first can't be deleted: it has an order on the exchange. Stop it first."
    )
    order.live = False
    order.save()
    BotState.objects.filter(bot=bot).update(exit_wanted="close", exit_wanted_since=NOW)
    assert refused(services.bot_delete, bot) == (
        "Bot first can't be deleted: it is closing its position. Stop it first."
    )
    put_in_position(bot)
    assert refused(services.bot_delete, bot) == (
        "Bot first can't be deleted: it is in position. Stop it first."
    )


@pytest.mark.parametrize("doubt", DOUBT_STATES)
def test_a_bot_in_any_doubt_keeps_its_symbol_and_stays(bot: BotConfig, doubt: str) -> None:
    make_request(bot, state=doubt)
    assert "is not known yet" in refused(services.bot_delete, bot)
    assert refused(services.bot_change, bot, values={"symbol": "ETHUSDT"}) == (
        "Symbol can't be changed now: the outcome of an order is not known yet."
    )


@pytest.mark.parametrize(
    "action",
    [
        services.bot_start,
        services.bot_pause,
        services.bot_stop,
        services.bot_close,
        services.bot_run_now,
        services.bot_delete,
    ],
)
def test_another_users_bot_is_answered_like_one_that_does_not_exist(bot: BotConfig, action) -> None:
    message = refused(action, bot, InvalidInput, by=make_owner())
    assert message == f"There is no bot {bot.pk}; look at the list of your bots for its number."


def test_a_superuser_may_act_on_every_bot(bot: BotConfig) -> None:
    services.bot_start(bot=bot, by=make_owner(superuser=True))
    bot.refresh_from_db()
    assert bot.is_active


def test_each_service_locks_the_state_row_before_it_writes(
    bot: BotConfig,
) -> None:
    with CaptureQueriesContext(connection) as captured:
        start(bot)
    statements = [
        query["sql"] for query in captured if query["sql"].startswith(("SELECT", "UPDATE", "INSERT"))
    ]
    locking = next(i for i, sql in enumerate(statements) if "FOR NO KEY UPDATE" in sql)
    writing = next(i for i, sql in enumerate(statements) if sql.startswith(("UPDATE", "INSERT")))
    assert locking < writing


@pytest.mark.django_db(transaction=True)
def test_a_bot_that_is_being_run_is_refused_after_a_short_wait(
    bot: BotConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "USER_WAIT_SECONDS", 0.05)
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            lock_state(bot.pk)
            locked.set()
            done.wait(10)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert locked.wait(10)
        assert refused(services.bot_start, bot) == (
            "Bot first is being run right now; try again in a moment."
        )
    finally:
        done.set()
        thread.join()
    start(bot)


@pytest.mark.django_db(transaction=True)
def test_of_two_bots_started_at_once_on_one_symbol_one_starts(
    bot: BotConfig, account: ExchangeAccount
) -> None:
    second = make_bot(account, name="second")
    barrier, outcomes = threading.Barrier(2), []

    def attempt(each: BotConfig) -> None:
        barrier.wait(10)
        try:
            start(each)
            outcomes.append("started")
        except Refused as error:
            outcomes.append(str(error))
        connections.close_all()

    threads = [threading.Thread(target=attempt, args=(each,)) for each in (bot, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timedelta(seconds=20).total_seconds())
    winner = SymbolClaim.objects.get().bot
    assert sorted(outcomes) == sorted(
        [
            "started",
            f"BTCUSDT of account main is already traded by bot {winner.name}; pause that one first.",
        ]
    )
    assert list(BotConfig.objects.filter(is_active=True)) == [winner]


@pytest.mark.django_db(transaction=True)
def test_of_two_bots_created_at_once_with_one_name_one_is_created(account: ExchangeAccount) -> None:
    barrier, outcomes = threading.Barrier(2), []

    def attempt() -> None:
        barrier.wait(10)
        try:
            make_bot(account, name="twin")
            outcomes.append("created")
        except InvalidInput as error:
            outcomes.append(error.field)
        connections.close_all()

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["created", "name"]
    assert BotConfig.objects.count() == 1
