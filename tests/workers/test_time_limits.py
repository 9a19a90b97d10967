"""The soft and the hard time limit: the message ends, its thread or process works on, no order is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from bots.actors import run_all_active_bots_every_minute, run_bot
from tests.support.cluster import tail
from tests.support.desk import SIGNAL
from tests.support.environment import child_environment
from tests.support.waiting import wait_until
from tests.workers.support import booted, done, witnessed_worker
from tradebot import clock
from tradebot.processes import ProcessSpec
from trading.models import AccountState, OrderRequest, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
ASKS_FOR_ITS_MONEY = ("GET", "/api/v3/account", "before")
SENDS_ITS_ORDER = ("POST", "/api/v3/order", "after")


def worker(desk, soft: int, hard: int) -> ProcessSpec:
    """One process with one thread, so that the next message meets what the last one left behind."""
    env = child_environment(
        PAPER_SPOT_URL=desk.paper.url,
        PAPER_FUTURES_URL=desk.paper.url,
        CLOCK="stepped",
        TASK_SOFT_TIME_LIMIT=str(soft),
        TASK_HARD_TIME_LIMIT=str(hard),
    )
    return witnessed_worker("trading", env, "screen", "exits", "entries")


def send_run(bot, key: str) -> None:
    """A run of the present minute."""
    run_bot.send(bot.pk, clock.slot_of(clock.now()).isoformat(), "minute", key)


def sessions_in_a_transaction() -> int:
    """How many database sessions of others sit in a transaction and do nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%%'"
        )
        return cursor.fetchone()[0]


@pytest.mark.parametrize("request_that_hangs", [ASKS_FOR_ITS_MONEY, SENDS_ITS_ORDER], ids=["GET", "POST"])
def test_after_the_soft_limit_the_thread_runs_the_next_bot(
    make_desk, start_workers, tmp_path, request_that_hangs
):
    desk = make_desk(["BTCUSDT", "ETHUSDT"])
    hung, next_one = desk.add_bot("BTCUSDT"), desk.add_bot("ETHUSDT")
    desk.go_to(AT_SIGNAL)
    AccountState.objects.update(asked_at=AT_SIGNAL - timedelta(minutes=2))  # so that a run asks anew
    start_workers(worker(desk, soft=3, hard=60))
    wait_until(booted, seconds=30)
    method, path, when = request_that_hangs
    desk.paper.fault("delay", method=method, path=path, when=when, seconds=4.5)
    send_run(hung, "hangs")
    send_run(next_one, "next")
    wait_until(lambda: len(done()) == 2, seconds=30)
    first, second = done()
    assert (first.outcome, second.outcome) == ("TimeLimitExceeded", "good"), tail(tmp_path / "logs")
    assert (first.pid, first.thread) == (second.pid, second.thread)
    assert desk.state(next_one).in_position
    assert not desk.state(hung).in_position
    assert sessions_in_a_transaction() == 0
    if when == "after":
        assert OrderRequest.objects.get(bot=hung).state == "PREPARED"
        desk.wait(30)  # the request's window is over: now it is asked for
    send_run(hung, "looked at again")
    wait_until(lambda: len(done()) == 3, seconds=30)
    assert desk.state(hung).in_position, tail(tmp_path / "logs")
    assert len(desk.exchange_orders("BTCUSDT")) == len(desk.exchange_orders("ETHUSDT")) == 1
    assert Trade.objects.count() == 2
    assert desk.differences() == []


def test_a_message_that_outlives_the_hard_limit_costs_its_process_and_no_order(
    make_desk, start_workers, tmp_path
):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    workers = start_workers(worker(desk, soft=2, hard=3))
    wait_until(booted, seconds=30)
    desk.paper.fault("delay", when="after", seconds=11)  # a system call: the soft limit can't end it
    send_run(bot, "never ends")
    wait_until(lambda: workers.poll() or workers.restarts["trading"] == 1, seconds=10)  # 11 s did not pass
    assert "hard time limit: run-bot never ended" in tail(tmp_path / "logs")
    assert OrderRequest.objects.get().state == "PREPARED"
    assert sessions_in_a_transaction() == 0
    desk.wait(60)
    run_all_active_bots_every_minute.send(clock.slot_of(clock.now()).isoformat())
    wait_until(lambda: OrderRequest.objects.get().state == "ACCEPTED", seconds=30)
    wait_until(lambda: desk.state(bot).in_position)
    assert Trade.objects.count() == len(desk.exchange_orders()) == 1
    assert desk.differences() == []
