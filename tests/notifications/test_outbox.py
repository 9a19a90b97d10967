"""Rows of the outbox are written with what they tell of: in the same commit or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction

from bots import runner, services
from bots.models import BotConfig
from tests.support.desk import SIGNAL, Desk, open_desk
from trading import books, orders, outbox
from trading.models import BotState, ExchangeSecret, OrderRequest, OutboxMessage, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


@pytest.fixture
def desk(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Desk]:
    made = open_desk(tmp_path, settings, django_user_model)
    yield made
    made.feed.close()
    made.paper.stop()


def messages(event: str) -> list[OutboxMessage]:
    return list(OutboxMessage.objects.filter(event=event).order_by("id"))


def test_entry_and_exit_are_told_of_with_their_figures(desk):
    bot = desk.add_bot(name="first")
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    services.bot_close(bot=bot, by=desk.owner)
    desk.run(bot, key="close")
    entry, leave = messages("trade")
    trade = Trade.objects.get(purpose="EXIT")
    assert {(message.user_id, message.bot_id) for message in (entry, leave)} == {(desk.owner.pk, bot.pk)}
    assert (entry.payload["side"], entry.payload["purpose"]) == ("BUY", "ENTRY")
    assert leave.payload == {
        "bot": "first",
        "bot_id": bot.pk,
        "account": "paper",
        "environment": "paper",
        "market": "spot",
        "symbol": "BTCUSDT",
        "trade_id": trade.pk,
        "side": "SELL",
        "purpose": "EXIT",
        "price": f"{trade.price.normalize():f}",
        "quantity": f"{trade.quantity_filled.normalize():f}",
        "fee_usdt": f"{trade.commission_quote.normalize():f}",
        "realized_pnl": f"{trade.realized_pnl.normalize():f}",
        "reason": trade.reason,
        "traded_at": trade.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert OutboxMessage.objects.count() == 2


def test_what_is_not_committed_is_not_told(desk, monkeypatch):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    seen = []

    def then_the_process_dies(order, state, now):
        seen.append(OutboxMessage.objects.count())
        raise KeyboardInterrupt

    monkeypatch.setattr(outbox, "day_counted", then_the_process_dies)
    with pytest.raises(KeyboardInterrupt):
        desk.run(bot)
    assert seen == [1]  # it was there, in the transaction of the books
    assert (OutboxMessage.objects.count(), Trade.objects.count()) == (0, 0)


def test_a_failing_bot_is_told_of_once_an_hour(desk):
    bot = desk.add_bot()
    ExchangeSecret.objects.all().delete()
    for seconds in (0, 60, 120, 3600):
        desk.wait(seconds)
        assert desk.run(bot).outcome == "failed"
    first, second = messages("error")
    assert first.payload["error"] == "client init failed"
    assert first.payload["reason"] == "Account paper has no API key; enter one."
    assert second.created_at - first.created_at >= timedelta(hours=1)


def test_refused_orders_are_errors_and_the_third_pauses(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    body = '{"code":-1013,"msg":"Filter failure: NOTIONAL"}'
    desk.paper.fault("answer", status=400, body=body, when="before")
    BotState.objects.filter(bot=bot).update(rejections_in_a_row=2)
    desk.run(bot)
    assert OrderRequest.objects.get().state == "REJECTED"
    (error,), (paused,) = messages("error"), messages("paused")
    assert error.payload["error"] == "order:-1013"
    assert paused.payload["status"] == "paused (orders)"


def test_the_last_allowed_trade_of_a_day_is_told_once(desk):
    bot = desk.add_bot(max_daily_trades=1)
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    services.bot_close(bot=bot, by=desk.owner)
    desk.run(bot, key="close")
    (limit,) = messages("limit")
    assert (limit.payload["scope"], limit.payload["limit"]) == ("bot", "daily trades")


def test_a_daily_loss_is_told_when_it_is_first_reached(desk):
    bot = desk.add_bot(max_daily_loss_perc="1")
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    desk.paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "90"})
    desk.wait(60)
    runner.run_bot(bot.pk, trigger="inbox", key="1", slot=AT_SIGNAL)
    runner.run_bot(bot.pk, trigger="inbox", key="2", slot=AT_SIGNAL)
    (limit,) = messages("limit")
    assert limit.payload["limit"] == "daily loss"
    assert limit.payload["reason"] == (
        "1 % of the capital of 1000 USDT are lost today, with the open position; "
        "entries stop until midnight UTC"
    )


@pytest.mark.django_db(transaction=True)
def test_the_same_once_is_kept_once_and_breaks_no_transaction(desk):
    bot = desk.add_bot()
    with transaction.atomic():
        for _ in range(3):
            outbox.notify(event="error", user_id=desk.owner.pk, bot_id=bot.pk, payload={"a": 1}, once="x")
        BotConfig.objects.filter(pk=bot.pk).update(name="after")
    assert OutboxMessage.objects.count() == 1
    assert BotConfig.objects.get().name == "after"


def test_nothing_of_trading_waits_for_a_receiver(desk, monkeypatch):
    """Books and orders import nothing that could send."""
    for module in (books, orders, outbox):
        assert not hasattr(module, "webhooks")
        assert not hasattr(module, "delivery")
