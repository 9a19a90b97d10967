"""User streams: events become inbox entries once, doubts become sweeps, a lost line is opened again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dramatiq
import pytest

from bots import user_streams
from bots.models import BotConfig, BotInbox
from bots.user_streams import StreamState, UserStreams, hear, published
from tests.support.paper import start_paper
from tests.support.waiting import wait_until
from tradebot import clock
from trading import user_events
from trading.accounts import account_create, client_for, read_key
from trading.models import AccountSweep, ExchangeAccount, Order, OrderRequest, SymbolClaim

from .stream_server import StreamServer, stream_server
from .support import PATHS

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


@pytest.fixture
def server(settings) -> Iterator[StreamServer]:
    """The exchange's streams."""
    with stream_server() as made:
        settings.PAPER_SPOT_URL = settings.PAPER_FUTURES_URL = made.url
        yield made


@pytest.fixture
def account(transactional_db, django_user_model) -> ExchangeAccount:
    """A paper account."""
    owner = django_user_model.objects.create_user("owner", password="owner-password-1")
    return account_create(user=owner, name="paper", environment="paper")


def make_bot(account: ExchangeAccount, market: str) -> BotConfig:
    """An active bot that holds its symbol."""
    bot = BotConfig.objects.create(
        user=account.user, account=account, name=market, market=market, symbol="BTCUSDT", is_active=True
    )
    SymbolClaim.objects.create(account=account, market=market, symbol="BTCUSDT", bot=bot)
    return bot


def make_order(bot: BotConfig, name: str, kind: str = "order", number: int | None = None) -> Order:
    """An order of the bot in the journal."""
    common = {
        "bot": bot, "account": bot.account, "market": bot.market, "symbol": bot.symbol, "created_at": NOW,
    }  # fmt: skip
    request = OrderRequest.objects.create(
        **common,
        lane="exit",
        kind=kind,
        client_id=name,
        path="",
        payload="",
        ts_ms=1,
        recv_window_ms=1,
        epoch=1,
    )
    request.state, request.reason, request.resolved_at = "ACCEPTED", "taken", NOW
    request.save()
    return Order.objects.create(
        **common, request=request, purpose="STOP", side="SELL", type="STOP_LOSS", quantity=1,
        client_order_id=name, exchange_order_id=number, updated_at=NOW,
    )  # fmt: skip


@contextmanager
def running(**options: Any) -> Iterator[UserStreams]:
    """The streams, in a thread; ended and joined at the end of the block."""
    streams = UserStreams(
        clock.now, poll_seconds=0.05, connect_gap_seconds=0, first_wait_seconds=0.05, **options
    )
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(streams.run(stop)))
    thread.start()
    try:
        yield streams
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()
        loop.close()


def spot_event(name: str, number: int = 77, trade: int = 5) -> dict[str, Any]:
    """An execution report."""
    return {
        "e": "executionReport", "E": 1, "s": "BTCUSDT", "c": name, "C": "", "x": "TRADE", "X": "FILLED",
        "i": number, "t": trade, "z": "1.0",
    }  # fmt: skip


def futures_event(name: str, number: int = 77) -> dict[str, Any]:
    """An order update."""
    order = {"s": "BTCUSDT", "c": name, "x": "TRADE", "X": "FILLED", "i": number, "t": 5, "z": "1.0"}
    return {"e": "ORDER_TRADE_UPDATE", "E": 1, "o": order}


def messages(actor_name: str) -> list[tuple[Any, ...]]:
    """The arguments of the messages that wait for an actor."""
    broker: Any = dramatiq.get_broker()
    found = []
    for queue in ("exits", "background"):
        for raw in broker.client.hvals(f"dramatiq:{queue}.msgs"):
            message = dramatiq.Message.decode(raw)
            if message.actor_name == actor_name:
                found.append(tuple(message.args))
    return found


@pytest.mark.parametrize(("market", "event"), [("spot", spot_event), ("futures", futures_event)])
def test_a_fill_on_the_stream_wakes_the_orders_bot_once(
    server, account, market: str, event: Callable[..., dict[str, Any]]
):
    bot = make_bot(account, market)
    make_order(bot, "tb1-tests0-1-1", number=77)
    with running() as streams:
        wait_until(lambda: server.subscribed == 1)
        server.send(event("tb1-tests0-1-1"))
        server.send(event("tb1-tests0-1-1"))
        wait_until(lambda: streams.states[account.pk, market].events == 2)
        entry = BotInbox.objects.get()
        assert (entry.bot, entry.kind, entry.handled_at) == (bot, "order", None)
        wait_until(lambda: ((published() or {}).get((account.pk, market)) or StreamState()).events == 2)
        state = (published() or {})[account.pk, market]
        assert (state.connected, state.connects) == (True, 1)
    assert set(messages("answer-inbox")) == {(bot.pk, entry.pk)}


def test_a_lost_stream_is_opened_again_and_the_account_swept(server, account):
    make_bot(account, "spot")
    with running() as streams:
        wait_until(lambda: server.subscribed == 1)
        wait_until(lambda: AccountSweep.objects.filter(doubt__startswith="the user stream").exists())
        AccountSweep.objects.update(doubtful=False)
        server.drop()
        wait_until(lambda: server.subscribed == 2)
        wait_until(lambda: AccountSweep.objects.get().doubtful)
        wait_until(lambda: streams.states[account.pk, "spot"].connects == 2)
    assert messages("sweep-account") == [(account.pk, "spot")]


def test_streams_come_and_go_with_the_bots(server, account):
    with running() as streams:
        bot = make_bot(account, "spot")
        wait_until(lambda: server.subscribed == 1)
        SymbolClaim.objects.all().delete()
        BotConfig.objects.filter(pk=bot.pk).update(is_active=False)
        wait_until(lambda: not streams.states)
        wait_until(lambda: published() == {})


def test_a_refused_key_is_told_and_tried_again_without_the_key_in_any_text(server, account, caplog):
    make_bot(account, "spot")
    server.refuse = True
    with running() as streams:
        wait_until(lambda: streams.states)
        wait_until(lambda: "refused the stream" in streams.states[account.pk, "spot"].error)
        server.refuse = False
        wait_until(lambda: streams.states[account.pk, "spot"].connected)
    key = user_streams.read_key(account)[0].reveal()
    assert key not in caplog.text
    assert "signature" not in caplog.text


def test_an_order_that_nobody_knows_makes_the_account_doubtful(transactional_db, account):
    make_bot(account, "spot")
    hear((account.pk, "spot"), spot_event("by-hand"), NOW)
    row = AccountSweep.objects.get()
    assert (row.doubtful, row.doubt[:20]) == (True, "an order of BTCUSDT ")
    assert messages("sweep-account") == [(account.pk, "spot")]
    assert BotInbox.objects.count() == 0


def test_a_second_order_of_a_known_id_is_a_doubt_not_the_bots_order(transactional_db, account):
    bot = make_bot(account, "spot")
    make_order(bot, "tb1-tests0-1-1", number=77)
    hear((account.pk, "spot"), spot_event("tb1-tests0-1-1", number=78), NOW)
    assert (BotInbox.objects.count(), AccountSweep.objects.get().doubtful) == (0, True)


def test_a_conditional_order_that_triggered_wakes_its_bot(transactional_db, account):
    bot = make_bot(account, "futures")
    make_order(bot, "tb1-tests0-1-1", kind="algo")
    update = {"s": "BTCUSDT", "caid": "tb1-tests0-1-1", "aid": 9, "X": "TRIGGERED", "ai": "100"}
    hear((account.pk, "futures"), {"e": "ALGO_UPDATE", "o": update}, NOW)
    hear((account.pk, "futures"), futures_event("tb1-tests0-1-1", number=100), NOW)
    assert BotInbox.objects.filter(bot=bot, kind="order").count() == 2


@pytest.mark.parametrize(
    ("market", "event", "kind"),
    [
        ("spot", {"e": "balanceUpdate", "a": "USDT", "d": "5"}, "doubt"),
        ("spot", {"e": "outboundAccountPosition"}, "nothing"),
        ("spot", {"e": "executionReport"}, "doubt"),
        ("spot", {}, "doubt"),
        ("futures", {"e": "ACCOUNT_UPDATE", "a": {"m": "ORDER"}}, "nothing"),
        ("futures", {"e": "ACCOUNT_UPDATE", "a": {"m": "DEPOSIT"}}, "doubt"),
        ("futures", {"e": "MARGIN_CALL"}, "doubt"),
        ("futures", {"e": "ORDER_TRADE_UPDATE", "o": None}, "doubt"),
    ],
)
def test_what_an_event_means(market: str, event: dict[str, Any], kind: str):
    assert user_events.read(market, event).kind == kind


@pytest.mark.parametrize("market", ["spot", "futures"])
@pytest.mark.broken_books("the order is placed behind the journal's back")
def test_the_paper_exchange_tells_of_orders_and_deposits(tmp_path, settings, account, market: str):
    with start_paper(tmp_path) as paper:
        settings.PAPER_SPOT_URL = settings.PAPER_FUTURES_URL = paper.url
        key = read_key(account)[0].reveal()
        bot = make_bot(account, market)
        make_order(bot, "tb1-tests0-1-1")
        client_for(account, market).account()
        with running() as streams:
            wait_until(lambda: streams.states)
            state = streams.states[account.pk, market]
            wait_until(lambda: state.connected)
            wait_until(lambda: AccountSweep.objects.exists())
            AccountSweep.objects.update(doubtful=False)
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.05"}
            answer = paper.signed("POST", PATHS[market], key, **order, newClientOrderId="tb1-tests0-1-1")
            assert answer.status_code == 200, answer.text
            wait_until(lambda: BotInbox.objects.filter(bot=bot, kind="order").exists())
            assert AccountSweep.objects.get().doubtful is False
            if market == "spot":
                paper.control("/paper/deposit", {"apiKey": key, "asset": "USDT", "amount": "777"})
            else:
                paper.control("/paper/futures/balance", {"apiKey": key, "balance": "777"})
            wait_until(lambda: AccountSweep.objects.get().doubtful)
            assert state.error == ""
