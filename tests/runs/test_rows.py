"""Rows by plain SQL are the rows of the ORM."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from bots.models import BotConfig, BotInbox
from tests.support.desk import SIGNAL
from tradebot import clock, rows
from trading.models import BotState, ExchangeAccount, OutboxMessage

PAYLOAD = {"text": "it's 100 %", "list": [1, None]}


@pytest.fixture
def bot(desk) -> BotConfig:
    """A bot with parameters."""
    return desk.add_bot(strategy_params={"rsi_period": 10})


def mail(bot: BotConfig, source: str) -> BotInbox:
    """An entry that is not saved."""
    return BotInbox(bot=bot, kind="run", source_id=source, payload=PAYLOAD, created_at=clock.now())


def test_what_is_read_is_what_the_orm_reads(bot):
    for model in (BotConfig, BotState, ExchangeAccount, BotInbox):
        (row,) = rows.read(model, "ORDER BY id", [])
        assert vars(row).keys() == vars(model.objects.get()).keys()
        for field in model._meta.concrete_fields:
            assert getattr(row, field.attname) == getattr(model.objects.get(), field.attname), field
        row.refresh_from_db()
        row.save()


def test_inserted_rows_get_their_ids_in_order(bot):
    one, two = mail(bot, "one"), mail(bot, "two")
    rows.insert_now(one, two)
    assert list(BotInbox.objects.filter(source_id__in=["one", "two"]).order_by("id")) == [one, two]
    assert BotInbox.objects.get(pk=two.pk).payload == PAYLOAD
    one.result = "done"
    one.save()  # an update: it is known to be there
    assert BotInbox.objects.get(pk=one.pk).result == "done"


def test_conflicts_are_raised_or_passed_over(bot):
    rows.insert_now(mail(bot, "one"))
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.insert_now(mail(bot, "one"))
    again = rows.insert([mail(bot, "one"), mail(bot, "two")], ignore_conflicts=True)
    assert len(rows.run(again)) == 1


def test_an_update_writes_the_named_columns_where_the_condition_holds(bot, desk):
    state = desk.state(bot)
    state.status, state.hold, state.protection = "exiting", "key", {"stop_loss_perc": 5.0}
    assert rows.update_now(state, ("status",), "AND epoch = %s", [state.epoch + 1]) == 0
    assert rows.update_now(state, ("status", "protection"), "AND epoch = %s", [state.epoch]) == 1
    found = desk.state(bot)
    assert (found.status, found.hold, found.protection) == ("exiting", "", {"stop_loss_perc": 5.0})
    state.protection = None
    rows.run(rows.update(state))
    assert BotState.objects.filter(bot=bot, protection__isnull=True, hold="key").exists()


def test_statements_of_one_round_trip_see_what_those_before_them_wrote(bot):
    writing = rows.insert([mail(bot, "one"), mail(bot, "two")])
    found = rows.run(writing, rows.select(BotInbox, "WHERE source_id = %s", ["two"]))
    assert [row.payload for row in rows.made(BotInbox, found)] == [PAYLOAD]
    message = OutboxMessage(user=bot.user, event="test", payload={}, created_at=SIGNAL + timedelta(1))
    rows.insert_now(message)
    assert rows.run(rows.update(message, ("payload",))) == []
