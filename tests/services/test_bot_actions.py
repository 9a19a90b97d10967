"""Start, pause, stop, close and run now: what each does, and what each refuses and leaves unchanged."""

from __future__ import annotations

import pytest

from bots import services
from bots.models import BotConfig
from tests.services.support import refused, start, state_of
from tests.support.owners import (
    NOW,
    load_symbols,
    make_account,
    make_bot,
    make_order,
    make_request,
    put_in_position,
)
from trading.models import BotState, ExchangeAccount, ExchangeSecret, SymbolClaim
from trading.models.journal import DOUBT_STATES

pytestmark = pytest.mark.django_db


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


def test_a_futures_bot_starts_when_the_futures_symbols_are_loaded(bot: BotConfig) -> None:
    BotConfig.objects.filter(pk=bot.pk).update(market="futures", leverage=3, position_type="short")
    assert refused(services.bot_start, bot) == (
        "The list of symbols of the paper exchange is not loaded yet; "
        "try again when the exchange has answered."
    )
    load_symbols(market="futures")
    start(bot)
    assert state_of(bot).status == "waiting"


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
