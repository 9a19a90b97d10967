"""The actors as workers run them: a trade's message arrives without anybody asking."""

from __future__ import annotations

from datetime import timedelta

import dramatiq
import pytest

from bots.actors import DELIVERY_ASKED_KEY, deliver_soon, run_all_active_bots_every_minute
from bots.models import Delivery
from tests.notifications.conftest import HOOK, make_channel
from tests.support.cluster import running_workers, tail, two_workers, wait_until_idle, worker_spec
from tests.support.desk import SIGNAL, open_desk
from tests.support.environment import child_environment
from tests.support.fake_exchange import hang_up
from tests.support.waiting import wait_until
from tradebot.redis import redis_client
from trading.models import BotState


@pytest.fixture
def desk(tmp_path, settings, django_user_model, transactional_db):
    made = open_desk(tmp_path, settings, django_user_model)
    yield made
    made.feed.close()
    made.paper.stop()


def workers(desk, receiver):
    host = receiver.url.removeprefix("http://")
    env = child_environment(PAPER_SPOT_URL=desk.paper.url, CLOCK="stepped", WEBHOOK_ALLOWED_HOSTS=host)
    return [*two_workers(desk.paper.url, CLOCK="stepped"), worker_spec("background", env, "background")]


def test_a_trade_reaches_the_receiver_while_another_one_is_silent(desk, receiver, tmp_path):
    receiver.on("/dead", hang_up)
    make_channel(desk.owner, receiver.url + "/dead")
    make_channel(desk.owner, receiver.url + HOOK)
    bot = desk.add_bot()
    desk.go_to(SIGNAL + timedelta(seconds=2))
    with running_workers(tmp_path / "logs", workers(desk, receiver)):
        run_all_active_bots_every_minute.send(SIGNAL.isoformat())
        wait_until(lambda: receiver.to(HOOK), 30)
        wait_until_idle()
        wait_until(lambda: Delivery.objects.filter(state="delivered").exists())
    assert BotState.objects.get(bot=bot).in_position, tail(tmp_path / "logs")
    (seen,) = receiver.to(HOOK)
    assert b'"type":"trade"' in seen.body
    wait = Delivery.objects.get(state="pending")
    assert (wait.attempts, wait.last_error.split(":")[0]) == (1, "no answer")


def test_many_who_ask_make_one_message(db):
    broker = dramatiq.get_broker()
    for _ in range(5):
        deliver_soon()
    assert broker.do_qsize("background") == 1
    redis_client().delete(DELIVERY_ASKED_KEY)  # as the actor does when it begins
    deliver_soon()
    assert broker.do_qsize("background") == 2
