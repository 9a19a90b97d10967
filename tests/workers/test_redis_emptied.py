"""Redis loses everything: no order and no decision is lost or doubled, the next tick works."""

from __future__ import annotations

from datetime import timedelta

from bots.actors import run_all_active_bots_every_minute
from bots.models import BotRun, ScreenRun
from tests.support.cluster import tail, two_workers, wait_until_idle
from tests.support.desk import SIGNAL, Desk
from tests.support.waiting import wait_until
from tradebot import clock
from tradebot.redis import redis_client
from trading.models import OrderRequest, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


def tick(desk: Desk) -> None:
    """The scheduler's actor for the present minute, until all that follows from it is done."""
    slot = clock.slot_of(clock.now())
    run_all_active_bots_every_minute.send(slot.isoformat())
    wait_until(lambda: ScreenRun.objects.filter(slot=slot).exists(), seconds=30)
    wait_until_idle()


def empty_redis() -> None:
    """FLUSHALL, of the tests' own database."""
    redis_client().flushdb()


def test_ticks_go_on_after_redis_was_emptied_and_nothing_is_doubled(make_desk, start_workers, tmp_path):
    desk = make_desk(["BTCUSDT", "ETHUSDT"])
    bots = [desk.add_bot(name) for name in ("BTCUSDT", "ETHUSDT")]
    start_workers(*two_workers(desk.paper.url, CLOCK="stepped"))
    desk.go_to(SIGNAL - timedelta(seconds=20))
    tick(desk)  # the workers have seen a market
    assert Trade.objects.count() == 0
    empty_redis()
    desk.go_to(AT_SIGNAL)  # the feed fills in what is missing
    tick(desk)
    assert all(desk.state(bot).in_position for bot in bots), tail(tmp_path / "logs")
    empty_redis()
    desk.go_to(AT_SIGNAL)  # the same minute again: it was screened, and its runs were made
    tick(desk)
    empty_redis()
    desk.go_to(AT_SIGNAL + timedelta(minutes=1))
    tick(desk)
    assert ScreenRun.objects.count() == 3
    assert BotRun.objects.count() == OrderRequest.objects.count() == Trade.objects.count() == 2
    assert desk.differences() == []


def test_a_stop_is_kept_after_redis_was_emptied_and_the_workers_were_started_again(
    make_desk, start_workers, tmp_path
):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot(stop_loss_perc="2")
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    assert desk.state(bot).in_position
    desk.paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "90"})
    empty_redis()
    start_workers(*two_workers(desk.paper.url, CLOCK="stepped"))  # they have never seen a market
    desk.go_to(AT_SIGNAL + timedelta(minutes=1))
    tick(desk)
    assert not desk.state(bot).in_position, tail(tmp_path / "logs")
    assert desk.differences() == []
