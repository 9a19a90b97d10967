"""The main job on real input: a day of BTC and ETH through exchange, schedule, screen, workers, database."""

from __future__ import annotations

import csv
import gzip
from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from bots import schedule
from bots.actors import book_funding, run_all_active_bots_every_minute
from bots.models import ScreenRun
from marketdata import symbols
from marketdata.feed import Feed
from tests.support.cluster import running_workers, tail, two_workers, wait_until_idle
from tests.support.paper import start_paper
from tests.support.replay import add_futures_bots, replay_bots
from tests.support.shared import require_shared
from tradebot import clock
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import source_for
from trading.accounts import client_for
from trading.compare import compare_account
from trading.models import BotState, Fill, FundingPayment, Order, OrderRequest, Trade

HISTORY_MINUTES = 1100
DAY_MINUTES = 1440


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_day_of_real_candles_trades_and_every_order_equals_the_exchanges(
    tmp_path, settings, django_user_model
):
    replay(tmp_path, settings, django_user_model, DAY_MINUTES)


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_thirty_days_of_real_candles(tmp_path, settings, django_user_model):
    replay(tmp_path, settings, django_user_model, 43_199 - HISTORY_MINUTES)


def replay(tmp_path, settings, users, minutes: int) -> None:
    """Step exchange, feed and runs through the files, a slot at a time, and compare the books at the end."""
    folder = require_shared("data/ohlcv/spot_1m_2026")
    first = first_candle(folder / "BTCUSDT-1m.csv.gz")
    begin = first + timedelta(minutes=HISTORY_MINUTES)
    with ExitStack() as stack:
        paper = start_paper(tmp_path, candles=folder, clock="stepped", shift_days=0)
        stack.callback(paper.stop)
        settings.PAPER_SPOT_URL = settings.PAPER_FUTURES_URL = paper.url
        settings.CLOCK = "stepped"
        step(paper, begin)
        bots = replay_bots(
            users, ["BTCUSDT", "ETHUSDT"], lambda: symbols.refresh(source_for("paper", "spot"))
        )
        assert symbols.refresh(source_for("paper", "futures")).ok
        bots += add_futures_bots(bots[0].account, {"BTCUSDT": "long", "ETHUSDT": "short"})
        feed = Feed(schedule.series_in_use, lambda slot: None, ExchangeClient, clock.now)
        feed.refresh_series()
        feed.warm_up(clock.now())
        logs = tmp_path / "logs"
        with running_workers(logs, two_workers(paper.url, CLOCK="stepped")) as workers:
            for minute in range(1, minutes + 1):
                slot = begin + timedelta(minutes=minute)
                step(paper, slot + timedelta(seconds=2))
                feed.poll_closed(clock.now())
                feed.poll_prices(clock.now())
                run_all_active_bots_every_minute.send(slot.isoformat())
                try:
                    wait_until_idle()
                except TimeoutError as error:
                    pytest.fail(f"{error}\n{tail(logs)}")
                workers.poll()
            assert set(workers.restarts.values()) == {0}
        check(bots, minutes)


def step(paper, moment: datetime) -> None:
    """Set the one clock of the replay: the exchange's and the runs'."""
    paper.control("/paper/clock", {"now_ms": clock.to_ms(moment)})
    clock.step_to(moment)


def check(bots, minutes: int) -> None:
    account = bots[0].account
    book_funding()
    for market in ("spot", "futures"):
        assert compare_account(account, market, client_for(account, market, "exit")) == []
    for bot in bots:
        check_pnl(bot)
    assert ScreenRun.objects.count() == minutes
    assert not OrderRequest.objects.exclude(state="ACCEPTED").exists()
    assert not Order.objects.filter(live=False, fills_complete=False).exists()
    entries = Trade.objects.filter(purpose="ENTRY").count()
    exits = Trade.objects.filter(purpose__in=["EXIT", "STOP", "TARGET"]).count()
    assert entries >= minutes // 100
    assert exits in range(entries - len(bots), entries + 1)
    assert Trade.objects.count() == Order.objects.filter(executed_quantity__gt=0).count()
    assert Fill.objects.filter(order__isnull=True).count() == 0


def check_pnl(bot) -> None:
    """Realised PnL is that of the trades and, on futures, of funding."""
    trades = sum((trade.realized_pnl for trade in bot.trades.all()), Decimal(0))
    paid = sum((row.amount for row in FundingPayment.objects.filter(bot=bot)), Decimal(0))
    assert BotState.objects.get(bot=bot).realized_total == trades + paid
    assert bot.trades.exists()


def first_candle(path) -> datetime:
    with gzip.open(path, "rt") as lines:
        return clock.from_ms(int(next(csv.DictReader(lines))["open_time_ms"]))
