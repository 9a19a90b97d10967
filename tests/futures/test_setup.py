"""Leverage, isolated margin and one-way mode: on the exchange as the bot has them before an entry leaves."""

from __future__ import annotations

import pytest

from tests.futures.support import AT_SIGNAL, ORDER, enter
from trading.models import SymbolSetup

LEVERAGE, MARGIN, MODE = "/fapi/v1/leverage", "/fapi/v1/marginType", "/fapi/v1/positionSide/dual"


def changes(sent) -> list[tuple[str, str]]:
    return [(one.method, one.path) for one in sent if one.method == "POST"]


def answer(desk, path: str, code: int, message: str) -> None:
    body = f'{{"code": {code}, "msg": "{message}"}}'
    desk.paper.fault("answer", path=path, status=400, body=body, when="before")


@pytest.fixture
def crossed(desk, sent):
    """An account as Binance makes it: crossed margin, leverage 20."""
    desk.client.account()
    desk.client.set_margin_type("BTCUSDT", "CROSSED")
    del sent[:]


def test_all_three_are_set_before_the_entry_leaves(desk, sent, crossed):
    enter(desk)
    assert changes(sent) == [("POST", MARGIN), ("POST", LEVERAGE), ("POST", ORDER)]
    asked = [one.path for one in sent if one.path == MODE]
    assert asked == [MODE]
    config = desk.client.symbol_config("BTCUSDT")[0]
    assert (config["marginType"], config["leverage"]) == ("ISOLATED", 4)
    row = SymbolSetup.objects.get()
    assert (row.leverage, row.margin_type, row.position_mode, row.error) == (4, "ISOLATED", "one-way", "")


def test_what_is_so_already_is_not_set_and_remembered_it_is_not_asked_for(desk, sent):
    desk.client.account()
    desk.client.set_leverage("BTCUSDT", 4)
    del sent[:]
    bot = desk.add_bot(leverage=4)
    desk.go_to(AT_SIGNAL)
    SymbolSetup.objects.all().delete()
    assert desk.run(bot).outcome == "traded"
    assert changes(sent) == [("POST", ORDER)]


@pytest.mark.parametrize("code", [-4046, -4067])
def test_a_refusal_to_change_nothing_is_no_refusal(desk, crossed, monkeypatch, code):
    """The exchange says no, and asked again it has what was wanted (incident: -4067 for four days)."""
    from tradebot.binance.client import ExchangeClient

    really = ExchangeClient.set_margin_type

    def set_and_refuse(client, symbol, margin_type):
        really(client, symbol, margin_type)
        answer(desk, MARGIN, code, "No need to change margin type.")
        return really(client, symbol, margin_type)

    monkeypatch.setattr(ExchangeClient, "set_margin_type", set_and_refuse)
    enter(desk)


def test_leverage_that_can_not_be_set_stops_the_entry_and_says_so(desk, sent):
    bot = desk.add_bot(leverage=4)
    desk.go_to(AT_SIGNAL)
    answer(desk, LEVERAGE, -4028, "Leverage 4 is not valid")
    result = desk.run(bot)
    reason = "not buying: leverage 4 could not be set: Leverage 4 is not valid (-4028)"
    assert (result.outcome, result.reasons) == ("held", (reason,))
    state = desk.state(bot)
    assert (state.status, state.status_reason) == ("waiting", reason)
    assert desk.exchange_orders() == []
    before = len(sent)
    assert desk.run(bot, key="at once again").outcome == "held"
    assert len(sent) == before  # no storm: it is tried again after five minutes


def test_another_leverage_is_set_before_the_next_entry(desk, sent):
    from bots import services

    bot = enter(desk)
    services.bot_close(bot=bot, by=desk.owner)
    desk.run(bot, key="close")
    del sent[:]
    services.bot_change(bot=bot, values={"leverage": 7}, by=desk.owner)
    from trading import setups

    assert setups.missing(desk.account.pk, "BTCUSDT", 7, AT_SIGNAL) != ""
    assert setups.ensure(desk.account.pk, "BTCUSDT", 7, desk.client, AT_SIGNAL) == ""
    assert changes(sent) == [("POST", LEVERAGE)]
    assert setups.missing(desk.account.pk, "BTCUSDT", 7, AT_SIGNAL) == ""


def test_an_order_refused_for_the_mode_has_the_setup_asked_for_again(desk):
    bot = desk.add_bot(leverage=4)
    desk.go_to(AT_SIGNAL)
    answer(desk, ORDER, -4061, "Order's position side does not match user's setting.")
    assert desk.run(bot).outcome == "failed"
    assert not SymbolSetup.objects.exists()


def test_hedge_mode_is_switched_off(desk, sent):
    desk.client.account()
    desk.client.set_position_mode(hedge=True)
    del sent[:]
    enter(desk)
    assert changes(sent)[0] == ("POST", MODE)
    assert desk.client.position_mode() is False
