"""Workers that die in the middle of an order: SIGKILL, and the order is there once or not at all."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import pytest

from bots.actors import run_all_active_bots_every_minute
from bots.models import BotRun, ScreenRun
from tests.support.cluster import tail, wait_until_idle
from tests.support.desk import SIGNAL, Desk
from tests.support.waiting import wait_until
from tradebot import clock
from trading.models import Order, OrderRequest, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


def kill_group(pid: int) -> None:
    """SIGKILL for a dramatiq master and its workers."""
    os.killpg(pid, signal.SIGKILL)


def tick(desk: Desk) -> None:
    """The scheduler's actor for the present minute."""
    run_all_active_bots_every_minute.send(clock.slot_of(clock.now()).isoformat())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_during_its_post_leaves_one_order_or_none(make_desk, start_workers, tmp_path, moment):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    workers = start_workers(desk)
    desk.paper.fault("delay", seconds=20, when=moment)
    tick(desk)
    wait_until(lambda: desk.paper.control("/paper/faults")["faults"][0]["struck"])
    kill_group(workers.pids["trading"])
    wait_until(lambda: workers.poll() or workers.restarts["trading"] == 1)
    assert OrderRequest.objects.get().state == "PREPARED"
    assert not desk.state(bot).in_position
    desk.paper.control("/paper/faults", method="DELETE")
    if moment == "after":
        desk.wait(60)
        tick(desk)
        wait_until(lambda: OrderRequest.objects.get().state == "ACCEPTED")
        assert Trade.objects.count() == len(desk.exchange_orders()) == 1
        assert desk.state(bot).in_position
    else:
        for seconds in (60, 560, 11, 11):  # window 5 s and hold 600 s: nobody knows what was answered
            desk.wait(seconds)
            desk.run(bot, key=f"{seconds} s later, {clock.now().isoformat()}")
        assert OrderRequest.objects.get().state == "NOT_PLACED"
        assert desk.exchange_orders() == []
        assert not Order.objects.get().live
    assert desk.differences() == [], tail(tmp_path / "logs")


def test_two_schedulers_change_nothing(make_desk, start_workers, tmp_path):
    desk = make_desk(["BTCUSDT", "ETHUSDT"])
    bots = [desk.add_bot(name) for name in ("BTCUSDT", "ETHUSDT")]
    desk.go_to(AT_SIGNAL)
    start_workers(desk)
    for _ in range(10):
        tick(desk)
    wait_until_idle()
    assert ScreenRun.objects.count() == 1
    assert BotRun.objects.count() == OrderRequest.objects.count() == Trade.objects.count() == 2
    assert all(desk.state(bot).in_position for bot in bots), tail(tmp_path / "logs")
    assert desk.differences() == []


def test_one_bot_whose_key_is_broken_does_not_stop_the_others(make_desk, start_workers, tmp_path):
    from trading.accounts import account_create
    from trading.models import ExchangeSecret

    desk = make_desk(["BTCUSDT", "ETHUSDT"])
    good = desk.add_bot("BTCUSDT")
    own = desk.account
    desk.account = broken = account_create(user=desk.owner, name="broken", environment="paper")
    bad = desk.add_bot("ETHUSDT")
    desk.account = own
    other = ExchangeSecret.objects.get(account=own)
    ExchangeSecret.objects.filter(account=broken).update(api_key=other.api_key)  # not its own ciphertext
    desk.go_to(AT_SIGNAL)
    start_workers(desk)
    tick(desk)
    wait_until_idle()
    assert desk.state(good).in_position, tail(tmp_path / "logs")
    state = desk.state(bad)
    assert state.status == "error (api key decrypt failed)"
    assert "belongs to another account" in state.last_error_message
    assert BotRun.objects.get(bot=bad).outcome == "failed"
