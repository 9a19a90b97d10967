"""manage.py run_bot: a run for real, a dry one, and what it says to an unknown bot."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from bots.models import BotInbox, BotRun
from tests.support.desk import SIGNAL, open_desk
from tests.support.owners import row_counts
from trading.models import ExchangeSecret, OrderRequest


@pytest.fixture
def desk(tmp_path, settings, django_user_model, transactional_db):
    made = open_desk(tmp_path, settings, django_user_model)
    yield made
    made.feed.close()
    made.paper.stop()


def call(*arguments: str) -> str:
    out = StringIO()
    call_command("run_bot", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_a_dry_run_prints_what_would_be_and_changes_nothing(desk):
    bot = desk.add_bot()
    desk.go_to(SIGNAL + timedelta(seconds=2))
    before = row_counts()
    document = json.loads(call(str(bot.pk), "--dry", "--json"))
    assert document["outcome"] == "entering"
    assert document["wishes"] == [{"purpose": "ENTRY", "side": "BUY", "type": "MARKET", "lots": 9730}]
    assert row_counts() == before
    assert desk.exchange_orders() == []


def test_a_run_for_real_trades_and_answers_in_the_inbox(desk):
    bot = desk.add_bot()
    desk.go_to(SIGNAL + timedelta(seconds=2))
    text = call(str(bot.pk))
    assert text.startswith(f"{bot.name}: traded\n")
    assert OrderRequest.objects.get().state == "ACCEPTED"
    assert BotRun.objects.get().trigger == "inbox"
    assert not BotInbox.objects.filter(handled_at__isnull=True).exists()


def test_a_run_that_fails_ends_with_1(desk):
    bot = desk.add_bot()
    ExchangeSecret.objects.all().delete()
    with pytest.raises(SystemExit) as end:
        call(str(bot.pk))
    assert end.value.code == 1
    assert desk.state(bot).status == "error (client init failed)"


@pytest.mark.parametrize("bot_id", ["999999", "-1", "abc", "1e3", "\uff19", "9" * 40])
def test_an_unknown_bot_ends_with_2_and_changes_nothing(desk, bot_id):
    before = row_counts()
    arguments = ["--", bot_id] if bot_id.startswith("-") else [bot_id]
    with pytest.raises(SystemExit) as end:
        call(*arguments)
    assert end.value.code == 2
    assert row_counts() == before
