"""The summary of a day: once a day and owner, with what was done and what is held."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from bots.notifications.summary import summary_of, write_summaries
from marketdata import prices
from tests.notifications.conftest import HOOK, make_channel
from tests.support.owners import make_order, make_owner, make_request, put_in_position
from tradebot.binance.sources import source_for
from trading.models import OutboxMessage, Trade

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.broken_books("rows are made up to be shown"),
]
DAY = date(2026, 4, 1)
AFTER = datetime(2026, 4, 2, 0, 5, tzinfo=UTC)


def trade(bot, purpose, pnl, at):
    order = make_order(make_request(bot, state="ACCEPTED"))
    Trade.objects.create(
        bot_config=bot,
        user=bot.user,
        order=order,
        symbol=bot.symbol,
        side="SELL",
        purpose=purpose,
        price=Decimal(60000),
        quantity_filled=Decimal("0.01"),
        commission_quote=Decimal("0.6"),
        realized_pnl=Decimal(pnl),
        binance_order_id=order.pk,
        created_at=at,
    )


def test_it_is_written_once_a_day_for_owners_who_want_it(owner, receiver):
    make_channel(owner, receiver.url + HOOK)
    make_channel(owner, receiver.url + HOOK, name="second")
    stranger = make_owner("stranger")
    make_channel(stranger, receiver.url + HOOK, events=["trade"])
    assert (write_summaries(AFTER), write_summaries(AFTER + timedelta(hours=3))) == (1, 1)
    message = OutboxMessage.objects.get()
    assert (message.user, message.bot, message.payload["day"]) == (owner, None, "2026-04-01")
    write_summaries(AFTER + timedelta(days=1))
    assert OutboxMessage.objects.count() == 2


def test_it_counts_the_utc_day_and_lists_what_is_held(owner, bot):
    start = datetime(2026, 4, 1, tzinfo=UTC)
    trade(bot, "ENTRY", "0", start)
    trade(bot, "EXIT", "-3.5", start + timedelta(hours=23, minutes=59))
    trade(bot, "EXIT", "100", start - timedelta(microseconds=1))
    trade(bot, "EXIT", "100", start + timedelta(days=1))
    put_in_position(bot)
    prices.store(source_for("paper", "spot"), {"BTCUSDT": 61000.5}, AFTER)
    assert summary_of(owner.pk, DAY) == {
        "day": "2026-04-01",
        "entries": 1,
        "exits": 1,
        "realized_pnl": Decimal("-3.5"),
        "fees_usdt": Decimal("1.2"),
        "open_positions": 1,
        "positions": [
            {
                "bot": "first",
                "account": "main",
                "environment": "paper",
                "symbol": "BTCUSDT",
                "side": "long",
                "quantity": "0.01",
                "entry_price": "60000.5",
                "price": "61000.5",
                "unrealized_pnl": "10",
            }
        ],
    }


def test_without_a_price_the_position_is_listed_all_the_same(owner, bot):
    put_in_position(bot)
    (position,) = summary_of(owner.pk, DAY)["positions"]
    assert (position["price"], position["unrealized_pnl"]) == (None, None)
