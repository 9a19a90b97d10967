"""Messages that come twice, ten times, late or at once, and several schedulers: one order each."""

from __future__ import annotations

import pytest
from dramatiq.common import current_millis

from bots.actors import run_bot
from bots.models import BotRun
from tests.faults.yard import Yard
from tests.support.cluster import wait_until_idle
from tests.support.waiting import wait_until
from tradebot.redis import redis_client
from trading.models import Order


def sent(trial) -> list[str]:
    """What the trial's filled orders were for."""
    rows = Order.objects.filter(account=trial.account, status="FILLED")
    return sorted(rows.values_list("purpose", flat=True))


def test_ten_copies_of_each_message_and_three_schedulers_make_one_order_each(try_out):
    trial = try_out(bots=3, copies=10, schedulers=3)
    assert sent(trial) == ["ENTRY"] * 3 + ["EXIT"] * 3
    for bot in trial.bots:
        runs = BotRun.objects.filter(bot=bot)
        assert runs.count() == runs.values("trigger", "key").distinct().count()


@pytest.mark.parametrize("phase", ["entry", "exit"])
def test_a_message_delivered_again_while_the_first_worker_is_at_it_changes_nothing(try_out, phase):
    trial = try_out(phase=phase, action="freeze", step="send.answered", seconds=1.0, copies=10, schedulers=3)
    assert sent(trial) == ["ENTRY", "EXIT"]


@pytest.mark.slow
def test_ten_thousand_late_ticks_are_dropped_and_the_next_one_is_in_time(try_out, yard: Yard):
    """The queue of half an hour in which no worker ran."""
    first = try_out()
    broker, slot = run_bot.broker, "2019-01-01T00:00:00+00:00"
    late = run_bot.message(first.bots[0].pk, slot, "minute", slot)
    old = current_millis() - 1_800_000
    pipeline = redis_client().pipeline(transaction=False)
    for number in range(10_000):
        message = late.copy(message_id=f"late {number}", message_timestamp=old)
        message = message.copy(options={"redis_message_id": message.message_id})
        pipeline.hset(f"{broker.namespace}:entries.msgs", message.message_id, message.encode())
        pipeline.rpush(f"{broker.namespace}:entries", message.message_id)
    pipeline.execute()
    wait_until(lambda: broker.do_qsize("entries") < 10_000)
    wait_until_idle(120)
    assert not BotRun.objects.filter(slot__year=2019).exists()
    assert sent(try_out()) == ["ENTRY", "EXIT"]
