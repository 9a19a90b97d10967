"""Messages that no worker can work on are put aside and told of; the others go on."""

from __future__ import annotations

import json
from datetime import timedelta

import dramatiq
import pytest
from dramatiq.broker import MessageProxy
from dramatiq.middleware import SkipMessage

from bots import dead_letters
from bots.actors import deliver_notifications, recover_bot, run_bot
from bots.models import DeadLetter
from tests.support.cluster import tail
from tests.support.environment import child_environment
from tests.support.waiting import wait_until
from tests.workers.support import booted, done, witnessed_worker
from tradebot import clock
from tradebot.redis import redis_client

MIDDLEWARE = dead_letters.DeadLetters()


def tries(message: dramatiq.Message) -> str:
    """One try over which the worker dies: "worked on", or "given up"."""
    proxy = MessageProxy(message)
    try:
        MIDDLEWARE.before_process_message(dramatiq.get_broker(), proxy)
    except SkipMessage:
        assert proxy.failed  # so it goes to the dead letters of Redis, too
        return "given up"
    return "worked on"


def test_a_message_that_kills_its_worker_is_given_up_after_three_tries(db):
    poison, other = deliver_notifications.message(), deliver_notifications.message()
    assert [tries(poison) for _ in range(4)] == ["worked on"] * 3 + ["given up"]
    letter = DeadLetter.objects.get(dead_at__isnull=False)
    assert (letter.message_id, letter.actor) == (poison.message_id, "deliver-notifications")
    assert letter.reason == "its worker died or was cut off 3 times"
    assert tries(other) == "worked on"


def test_a_message_that_came_to_an_end_is_forgotten(db):
    message = recover_bot.message(1, "2026-01-01T00:00:00+00:00")
    assert tries(message) == "worked on"
    MIDDLEWARE.after_process_message(dramatiq.get_broker(), MessageProxy(message))
    assert not DeadLetter.objects.exists()


def test_a_run_is_not_counted_because_its_age_ends_it(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert tries(run_bot.message(1, "slot", "minute", "key")) == "worked on"


def test_old_dead_letters_are_removed(db):
    then = clock.now() - timedelta(days=31)
    DeadLetter.objects.create(message_id="old", queue="exits", actor="a", first_at=then, dead_at=then)
    DeadLetter.objects.create(message_id="new", queue="exits", actor="a", first_at=then, dead_at=clock.now())
    assert dead_letters.tidy() == 1
    assert DeadLetter.objects.get().message_id == "new"


def put(queue: str, message_id: str, data: bytes) -> None:
    """A message as it lies in Redis."""
    namespace = dramatiq.get_broker().namespace
    redis_client().hset(f"{namespace}:{queue}.msgs", message_id, data)
    redis_client().rpush(f"{namespace}:{queue}", message_id)


def test_poison_in_the_queue_is_put_aside_and_the_next_message_worked_on(
    transactional_db, start_workers, tmp_path
):
    env = child_environment(dramatiq_restart_delay="100")
    start_workers(witnessed_worker("exits", env, "exits"))
    wait_until(booted, seconds=30)
    put("exits", "broken", b'{"queue_name": "exits", ')
    recover_bot.broker.enqueue(recover_bot.message(1, "x").copy(actor_name="no-such-actor"))
    recover_bot.send("too", "many", "arguments")
    recover_bot.send(0, clock.now().isoformat())  # no such bot: an ordinary failure
    wait_until(lambda: len(done()) >= 2, seconds=30)
    wait_until(lambda: DeadLetter.objects.filter(dead_at__isnull=False).count() == 2)
    reasons = dict(DeadLetter.objects.values_list("actor", "reason"))
    assert reasons["no-such-actor"] == "there is no such actor"
    assert reasons["recover-bot"].startswith("wrong arguments: too many positional arguments")
    assert json.loads(DeadLetter.objects.get(actor="recover-bot").arguments) == [
        ["too", "many", "arguments"],
        {},
    ]
    assert done()[-1].outcome == "DoesNotExist", tail(tmp_path / "logs")
    assert "Failed to decode message" in tail(tmp_path / "logs", 400)


@pytest.mark.slow
def test_a_message_over_which_workers_are_killed_is_put_aside(transactional_db, start_workers, tmp_path):
    """The dead worker's message comes back after 45 s; here it is put back by hand."""
    env = child_environment(
        TRADEBOT_FAILPOINTS=str(tmp_path), PAPER_SPOT_URL="http://127.0.0.1:1", dramatiq_restart_delay="100"
    )
    message = recover_bot.message(0, clock.now().isoformat())
    workers = start_workers(witnessed_worker("exits", env, "exits"))

    def restarted(times: int) -> bool:
        workers.poll()
        return workers.restarts["exits"] == times and len(booted()) == times + 1

    for number in range(3):
        wait_until(lambda number=number: restarted(number), seconds=40)
        (tmp_path / "message.begin").write_text('{"action": "kill"}')
        recover_bot.broker.enqueue(message)
    wait_until(lambda: restarted(3), seconds=40)
    recover_bot.broker.enqueue(message)
    wait_until(lambda: DeadLetter.objects.filter(dead_at__isnull=False).exists(), seconds=30)
    assert DeadLetter.objects.get().reason == "its worker died or was cut off 3 times"
    assert done() == []
