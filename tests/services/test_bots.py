"""The services of bots: what each does, what each refuses, and that a refusal changes nothing."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction

from bots import services
from bots.models import BotConfig, BotInbox
from tests.support.owners import (
    NOW,
    load_symbols,
    make_account,
    make_bot,
    make_order,
    make_owner,
    make_request,
    put_in_position,
    row_counts,
    values_of,
)
from tradebot.errors import InvalidInput, Refused
from trading.locks import lock_state
from trading.models import BotState, ExchangeAccount, ExchangeSecret, SymbolClaim
from trading.models.journal import DOUBT_STATES

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> ExchangeAccount:
    load_symbols()
    return make_account(make_owner(), name="main")


@pytest.fixture
def bot(account: ExchangeAccount) -> BotConfig:
    return make_bot(account, name="first")


def refused(action, bot: BotConfig, error: type[Exception] = Refused, **options) -> str:
    """Call the service; it must raise `error`, and no row may be added or changed. Gives the message."""
    before, counts = values_of(bot), row_counts()
    with pytest.raises(error) as caught:
        action(bot=bot, by=options.pop("by", bot.user), **options)
    assert values_of(bot) == before
    assert row_counts() == counts
    return str(caught.value)


def state_of(bot: BotConfig) -> BotState:
    return BotState.objects.get(bot=bot)


def start(bot: BotConfig) -> BotInbox:
    return services.bot_start(bot=bot, by=bot.user)


# -- create and change


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


# -- start


def test_starting_claims_the_symbol_and_asks_for_a_look(bot: BotConfig) -> None:
    BotState.objects.filter(bot=bot).update(hold="orders", rejections_in_a_row=3, status="paused (orders)")
    entry = start(bot)
    bot.refresh_from_db()
    state = state_of(bot)
    assert bot.is_active
    assert (state.status, state.hold, state.rejections_in_a_row) == ("waiting", "", 0)
    assert SymbolClaim.objects.get().bot == bot
    assert (entry.kind, entry.bot, entry.handled_at) == ("run", bot, None)
    assert entry.payload == {"user": bot.user_id}
    assert bot.version == 1


def test_a_drift_is_not_cleared_by_starting(bot: BotConfig) -> None:
    BotState.objects.filter(bot=bot).update(hold="drift")
    start(bot)
    assert (state_of(bot).hold, state_of(bot).status) == ("drift", "paused (drift)")


def test_starting_in_position_says_in_position(bot: BotConfig) -> None:
    put_in_position(bot)
    start(bot)
    assert state_of(bot).status == "in position"


def test_an_active_bot_can_not_be_started(bot: BotConfig) -> None:
    start(bot)
    assert refused(services.bot_start, bot) == "Bot first is already active."


def test_a_second_bot_on_the_same_symbol_is_refused_and_the_first_is_named(
    bot: BotConfig, account: ExchangeAccount
) -> None:
    start(bot)
    second = make_bot(account, name="second")
    assert refused(services.bot_start, second) == (
        "BTCUSDT of account main is already traded by bot first; pause that one first."
    )
    assert SymbolClaim.objects.get().bot == bot
    other = make_bot(make_account(account.user))
    start(other)


def test_a_live_account_can_not_start_a_bot_whatever_live_trading_says(settings, bot: BotConfig) -> None:
    settings.LIVE_TRADING = True
    load_symbols("live")
    live = make_account(bot.user, name="real", environment="live")
    started = make_bot(live)
    assert refused(services.bot_start, started) == (
        "Live trading is locked in this version: account real is live; use a paper or testnet account."
    )


def test_a_testnet_account_can_start_a_bot(bot: BotConfig) -> None:
    load_symbols("testnet")
    start(make_bot(make_account(bot.user, environment="testnet")))


def test_a_bot_without_a_key_a_trading_symbol_or_an_owner_can_not_start(bot: BotConfig) -> None:
    BotConfig.objects.filter(pk=bot.pk).update(symbol="OLDUSDT")
    assert refused(services.bot_start, bot) == (
        "Symbol OLDUSDT does not trade now (status BREAK); choose another one or wait."
    )
    ExchangeSecret.objects.all().delete()
    assert refused(services.bot_start, bot) == "Account main has no API key; enter one first."
    bot.user.is_active = False
    bot.user.save()
    assert refused(services.bot_start, bot) == (
        "The owner of bot first is deactivated; activate the user first."
    )


def test_a_futures_bot_can_not_start(bot: BotConfig) -> None:
    BotConfig.objects.filter(pk=bot.pk).update(market="futures")
    assert refused(services.bot_start, bot) == (
        "Futures bots come with a later version; choose the spot market."
    )


# -- pause, stop, close, run now


def test_pausing_a_flat_bot_gives_its_symbol_free(bot: BotConfig) -> None:
    start(bot)
    services.bot_pause(bot=bot, by=bot.user)
    bot.refresh_from_db()
    assert not bot.is_active
    assert (state_of(bot).status, state_of(bot).status_reason) == ("paused", "Paused by hand.")
    assert not SymbolClaim.objects.exists()


def test_pausing_in_position_keeps_claim_and_position(bot: BotConfig) -> None:
    start(bot)
    put_in_position(bot)
    services.bot_pause(bot=bot, by=bot.user)
    state = state_of(bot)
    assert (state.in_position, state.status) == (True, "in position")
    assert SymbolClaim.objects.get().bot == bot


@pytest.mark.parametrize("doubt", DOUBT_STATES)
def test_pausing_in_doubt_keeps_the_claim(bot: BotConfig, doubt: str) -> None:
    start(bot)
    make_request(bot, state=doubt)
    services.bot_pause(bot=bot, by=bot.user)
    assert SymbolClaim.objects.get().bot == bot


def test_pausing_with_a_live_order_keeps_the_claim(bot: BotConfig) -> None:
    start(bot)
    make_order(make_request(bot, state="ACCEPTED"), live=True)
    services.bot_pause(bot=bot, by=bot.user)
    assert SymbolClaim.objects.get().bot == bot


def test_a_claim_kept_at_the_pause_is_released_once_the_bot_is_flat(bot: BotConfig) -> None:
    start(bot)
    put_in_position(bot)
    bot = services.bot_pause(bot=bot, by=bot.user)
    assert not services.claim_release(bot=bot, state=state_of(bot))
    BotState.objects.filter(bot=bot).update(
        in_position=False, entry_price=None, current_position_size_coins=0
    )
    assert services.claim_release(bot=bot, state=state_of(bot))
    assert not SymbolClaim.objects.exists()


def test_a_paused_bot_can_not_be_paused_stopped_closed_or_run(bot: BotConfig) -> None:
    assert refused(services.bot_pause, bot) == "Bot first is already paused."
    assert refused(services.bot_stop, bot) == "Bot first is already paused and has no position."
    assert refused(services.bot_close, bot) == "Bot first has no position to close."
    assert refused(services.bot_run_now, bot) == "Bot first is paused; start it first."


def test_stopping_in_position_pauses_and_asks_to_close(bot: BotConfig) -> None:
    start(bot)
    put_in_position(bot)
    entry = services.bot_stop(bot=bot, by=bot.user)
    bot.refresh_from_db()
    assert (bot.is_active, entry.kind, entry.handled_at) == (False, "stop", None)
    assert state_of(bot).in_position
    assert refused(services.bot_stop, bot) == "Bot first is already closing its position."
    assert refused(services.bot_close, bot) == "Bot first is already closing its position."


def test_stopping_a_flat_bot_is_done_at_once(bot: BotConfig) -> None:
    start(bot)
    entry = services.bot_stop(bot=bot, by=bot.user)
    assert entry.handled_at is not None
    assert entry.result == "Paused; there was no position to close."
    assert not SymbolClaim.objects.exists()


def test_a_paused_bot_in_position_can_be_stopped_and_closed(bot: BotConfig, account: ExchangeAccount) -> None:
    put_in_position(bot)
    assert services.bot_stop(bot=bot, by=bot.user).kind == "stop"
    second = make_bot(account)
    put_in_position(second)
    assert services.bot_close(bot=second, by=second.user).kind == "close"


def test_closing_keeps_an_active_bot_active(bot: BotConfig) -> None:
    start(bot)
    put_in_position(bot)
    services.bot_close(bot=bot, by=bot.user)
    bot.refresh_from_db()
    assert bot.is_active


def test_an_exit_that_is_wanted_already_is_not_asked_for_again(bot: BotConfig) -> None:
    put_in_position(bot)
    BotState.objects.filter(bot=bot).update(exit_wanted="stop-loss", exit_wanted_since=NOW)
    assert refused(services.bot_close, bot) == "Bot first is already closing its position."


def test_run_now_writes_an_entry_each_time(bot: BotConfig) -> None:
    start(bot)
    entries = [services.bot_run_now(bot=bot, by=bot.user) for _ in range(2)]
    assert len({entry.pk for entry in entries}) == 2
    assert {entry.kind for entry in entries} == {"run"}


# -- delete


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


# -- owners and locks


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
    bot: BotConfig, django_assert_num_queries, django_capture_on_commit_callbacks
) -> None:
    from django.test.utils import CaptureQueriesContext

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
