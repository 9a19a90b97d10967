"""A busy account: bots trade and sweeps run at the same time, and nothing is found that is not there."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections, transaction

from bots import services
from bots.models import BotConfig
from marketdata import symbols
from marketdata.types import SymbolRules
from tests.support.owners import make_owner
from tests.support.paper import start_paper
from tradebot import clock
from tradebot.binance.sources import source_for
from trading import orders
from trading.accounts import account_create, client_for
from trading.compare import compare_account
from trading.locks import lock_state
from trading.models import Adjustment, BotState, Fill, Orphan
from trading.sweep import Swept, sweep_account
from trading.types import Wish

NAMES = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
SECONDS = 12.0
pytestmark = pytest.mark.slow


@pytest.fixture
def exchange(tmp_path, settings, transactional_db):
    """A paper exchange on wall time."""
    most = 1_000_000  # of weight and orders: this is not about limits
    with start_paper(
        tmp_path, weight_limit=most, futures_weight_limit=most, order_limit=most, futures_order_limit=most
    ) as paper:
        settings.PAPER_SPOT_URL = settings.PAPER_FUTURES_URL = paper.url
        yield paper


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_sweeps_between_trading_bots_find_nothing(exchange, settings, market: str):
    settings.TIMINGS = replace(settings.TIMINGS, not_found_gap_seconds=1.0)  # so soon a difference counts
    source = source_for("paper", market)
    assert symbols.refresh(source).ok
    names = [name for name in NAMES if name in {rules.symbol for rules in symbols.cached(source).trading}]
    assert len(names) >= 2
    owner = make_owner("olga")
    account = account_create(user=owner, name="busy", environment="paper")
    bots = [_bot(owner, account, market, name) for name in names]
    client_for(account, market).account()
    sweep_account(account, market, client_for(account, market), clock.now())
    end = time.monotonic() + SECONDS
    rounds: list[int] = []
    traders = [threading.Thread(target=_trade, args=(bot, market, end, rounds)) for bot in bots]
    found: list[Swept] = []
    for thread in traders:
        thread.start()
    while time.monotonic() < end:
        found.append(sweep_account(account, market, client_for(account, market), clock.now()))
    for thread in traders:
        thread.join()
    assert (len(rounds) > 10, len(found) > 5) == (True, True), (len(rounds), len(found))
    assert [one.findings for one in found if one.findings] == []
    assert [one.error for one in found if one.error] == []
    assert {bot.state.hold for bot in BotConfig.objects.select_related("state")} == {""}
    assert Orphan.objects.count() == Adjustment.objects.exclude(kind="dust").count() == 0
    assert Fill.objects.filter(source="external").count() == 0
    assert compare_account(account, market, client_for(account, market)) == []


def _bot(owner, account, market: str, name: str) -> BotConfig:
    values = {"name": name, "market": market, "symbol": name, "initial_capital": Decimal(1000)}
    bot = services.bot_create(user=owner, account=account, values=values)
    services.bot_start(bot=bot, by=owner)
    return bot


def _trade(bot: BotConfig, market: str, end: float, rounds: list[int]) -> None:
    """Buy and sell through the protocol, again and again."""
    rules = symbols.rules_for(source_for("paper", market), bot.symbol)
    client = client_for(bot.account, market, "exit")
    target = orders.Target(bot.pk, bot.account_id, market, bot.symbol)
    signal = clock.now()
    try:
        while time.monotonic() < end:
            signal += timedelta(seconds=1)
            price = float(client.price(bot.symbol))
            with transaction.atomic(durable=True):
                state = lock_state(bot.pk, wait_seconds=5)
                wish = _wish(state, rules, price, signal)
                request = orders.prepare(
                    state=state,
                    target=target,
                    wishes=[wish],
                    rules=rules,
                    now=clock.now(),
                    server_ms=client.now_ms(),
                )
            sent = orders.send(
                request.pk, bot_id=bot.pk, epoch=request.epoch, client=client,
                still_wanted=lambda state: None, rules=rules, now=clock.now,
            )  # fmt: skip
            assert sent.state in ("ACCEPTED", "NOT_SENT"), (sent.state, sent.reason)
            rounds.append(bot.pk)
    finally:
        connections.close_all()


def _wish(state: BotState, rules: SymbolRules, price: float, signal: datetime) -> Wish:
    if state.in_position:
        lots = int(state.current_position_size_coins // rules.lot_step)
        return Wish("EXIT", 0, "SELL", "MARKET", lots, reason="test", price=price)
    lots = int(Decimal(200) / Decimal(repr(price)) // rules.lot_step)
    return Wish("ENTRY", 0, "BUY", "MARKET", lots, reason="test", price=price, signal_time=signal)
