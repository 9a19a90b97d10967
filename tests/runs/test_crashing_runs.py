"""A bot whose runs kill their worker: its entries stop after the third in a row, its exits go on."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connections

from bots import run_watch, runner, services
from bots.models import RunWatch
from tests.support.desk import SIGNAL, Desk
from tradebot import clock
from trading.models import BotState, Order, OrderRequest, OutboxMessage
from trading.quarantine import clear_hold

APART = 5
AT_SIGNAL = SIGNAL + timedelta(seconds=2)


def in_a_process_that_dies(run: Callable[[], object]) -> None:
    """Carry `run` out in a process of its own, which is gone before the run has ended."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        runner.deciding.decide_and_prepare = lambda run: os.kill(os.getpid(), 9)  # type: ignore[assignment]
        run()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9


def crash(desk: Desk, bot, times: int) -> None:
    """Runs that kill their worker, one after the other."""
    for _ in range(times):
        in_a_process_that_dies(lambda: desk.run(bot, key=f"dies {clock.now()}"))
        desk.wait(APART)


@pytest.fixture
def crashing(desk, admin_user, monkeypatch):
    """A desk before the signal; a run is gone for good after seconds instead of half a minute."""
    monkeypatch.setattr(run_watch, "VANISHED_SECONDS", APART - 1)
    return desk, desk.add_bot()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_fourth_run_after_three_that_vanished_enters_no_more_and_staff_is_told(crashing, admin_user):
    desk, bot = crashing
    crash(desk, bot, 3)
    assert desk.state(bot).hold == ""
    desk.go_to(AT_SIGNAL)
    desk.run(bot, key="fourth")
    state = desk.state(bot)
    assert (state.hold, state.status) == ("crash", "error (run crashed)")
    assert "3 runs of bot BTCUSDT 0 in a row" in state.last_error_message
    assert not OrderRequest.objects.exists()
    told = OutboxMessage.objects.values_list("user", "event", "payload__error")
    assert sorted(told) == sorted([(user.pk, "error", "run crashed") for user in (desk.owner, admin_user)])
    assert RunWatch.objects.get(bot=bot).crashes == 0  # that one came to its end


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_that_vanished_and_one_that_ends_hold_nobody(crashing):
    desk, bot = crashing
    crash(desk, bot, 2)
    desk.run(bot, key="ends")
    crash(desk, bot, 1)
    desk.go_to(AT_SIGNAL)
    desk.run(bot, key="enters")
    assert desk.state(bot).hold == ""
    assert desk.state(bot).in_position


def test_exits_go_on_and_the_hold_can_be_cleared(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    RunWatch.objects.filter(bot=bot).update(begun_at=clock.now() - timedelta(seconds=60), crashes=2)
    services.bot_close(bot=bot, by=desk.owner)
    desk.run(bot, key="exit")
    assert not desk.state(bot).in_position
    assert (desk.state(bot).hold, desk.state(bot).status) == ("crash", "error (run crashed)")
    values = {"client": desk.client, "rules": None, "now": clock.now()}
    clear_hold(bot=bot, by=desk.owner, reason="more memory", **values)
    assert desk.state(bot).hold == ""


def test_deliveries_at_once_and_failures_do_not_count(desk, monkeypatch):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    for _ in range(5):  # ten workers have the same message: none has ended yet
        assert run_watch._begin(bot.pk, clock.now()) == 0
    desk.wait(60)

    def fails(run):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(runner.deciding, "decide_and_prepare", fails)
        for number in range(4):
            with pytest.raises(ZeroDivisionError):
                desk.run(bot, key=str(number))
            desk.wait(60)
    assert BotState.objects.get(bot=bot).hold == ""
    assert not Order.objects.exists()
