"""When which account is compared, within which budget, and what is sent where something was found."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command

from bots import actors, reconciling
from bots.boot import SweepAtStart
from bots.models import BotInbox
from tests.support.desk import Desk
from tests.support.owners import NOW, load_symbols, make_account, make_bot, make_owner
from tradebot import clock
from tradebot.binance import budget
from tradebot.binance.sources import source_for
from tradebot.errors import RateLimited
from trading import sweep, sweep_orders
from trading.ids import client_id
from trading.models import AccountSweep, Order, OrderRequest, Orphan

from .support import enter, limit_by_hand, row_of
from .support import sweep as sweep_once
from .test_user_streams import messages


def make_rows(count: int, **values: Any) -> list[AccountSweep]:
    """Accounts that were compared one after the other, a minute apart."""
    owner = make_owner("olga")
    rows = []
    for number in range(count):
        account = make_account(owner, name=f"account {number}")
        at = NOW + timedelta(minutes=number)
        rows.append(
            AccountSweep.objects.create(
                account=account, market="spot", asked_at=at, swept_at=at, doubtful=False, **values
            )
        )
    return rows


@pytest.mark.django_db
def test_doubtful_accounts_come_first_then_the_longest_unasked():
    rows = make_rows(4)
    sweep.mark_doubtful(rows[3].account_id, "spot", "a lost stream", NOW)
    found = [row.account_id for row in sweep.accounts_due(NOW + timedelta(hours=1))]
    assert found == [rows[index].account_id for index in (3, 0, 1, 2)]


@pytest.mark.django_db
def test_at_most_ten_accounts_of_an_address_a_minute():
    rows = make_rows(12)
    due = reconciling.due(NOW + timedelta(hours=1))
    assert due == [(row.account_id, "spot") for row in rows[:10]]


@pytest.mark.django_db
def test_a_request_in_doubt_makes_its_account_doubtful_until_it_was_swept_afterwards():
    load_symbols()
    rows = make_rows(3)
    bot = make_bot(rows[2].account, name="doubtful")
    request = OrderRequest.objects.create(
        bot=bot, account=bot.account, market="spot", symbol="BTCUSDT", lane="entry", client_id="x", path="",
        payload="", ts_ms=1, recv_window_ms=1, epoch=1, created_at=NOW, asked_count=1,
    )  # fmt: skip
    later = NOW + timedelta(hours=1)
    assert sweep.accounts_due(later)[0] == rows[0]
    request.state = "UNKNOWN"
    request.save()
    assert sweep.accounts_due(later)[0] == rows[2]
    request.state, request.reason, request.resolved_at = "ACCEPTED", "found", later
    request.save()
    assert sweep.accounts_due(later)[0] == rows[2]
    AccountSweep.objects.filter(pk=rows[2].pk).update(swept_at=later + timedelta(seconds=1))
    assert sweep.accounts_due(later)[0] == rows[0]


@pytest.mark.django_db(transaction=True)
def test_a_worker_of_the_background_queue_doubts_all_accounts_when_it_starts():
    make_rows(2)

    class Worker:
        consumer_whitelist = frozenset({"exits"})

    SweepAtStart().after_worker_boot(None, Worker())  # type: ignore[arg-type]
    assert AccountSweep.objects.filter(doubtful=True).count() == 0
    Worker.consumer_whitelist = frozenset({"background"})
    SweepAtStart().after_worker_boot(None, Worker())  # type: ignore[arg-type]
    assert AccountSweep.objects.filter(doubtful=True).count() == 2


def test_the_sweep_uses_a_fifth_of_the_weight_and_leaves_the_rest_to_others():
    source = source_for("paper", "spot")
    share = budget.sweep_usage(source).limit
    assert share == 0.2 * budget.limits_of(source).weight_per_minute
    budget.reserve(source, share - 10, "sweep")
    with pytest.raises(RateLimited, match="20%"):
        budget.reserve(source, 11, "sweep")
    budget.reserve(source, 11, "background")
    assert budget.usage(source).used == share + 1


@pytest.mark.parametrize(("market", "weight"), [("spot", 80 + 20 + 20), ("futures", 40 + 40 + 5 + 5 + 5)])
def test_what_a_sweep_weighs(open_one, monkeypatch, market: str, weight: int):
    desk = open_one(market=market)
    enter(desk)
    weights: list[int] = []
    really = budget.reserve

    def reserve(source: Any, asked: int, lane: Any, **options: Any) -> Any:
        weights.append(asked)
        return really(source, asked, lane, **options)

    desk.wait(1)
    client = desk.client
    client.sync_clock()
    monkeypatch.setattr(budget, "reserve", reserve)
    assert sweep.sweep_account(desk.account, market, client, clock.now()).is_clean
    assert sum(weights) == weight


def test_a_sweep_without_budget_is_put_off_and_loses_nothing(spot: Desk):
    enter(spot)
    source = spot.client.source
    budget.reserve(source, budget.sweep_usage(source).limit - 90, "sweep")
    spot.wait(1)
    swept, _ = reconciling.reconcile(spot.account.pk, "spot", clock.now())
    if not swept.error:
        pytest.skip("a new minute began between the two")
    assert swept.look_again_at is not None
    assert (row_of(spot).error, row_of(spot).look_at) == (swept.error, swept.look_again_at)


def test_an_actor_sweeps_and_wakes_the_bots(spot: Desk, settings):
    bot = enter(spot)
    limit_by_hand(spot, client_id(settings.DEPLOYMENT_NONCE, bot.pk, 90))
    order = _as_its_order(spot, bot)
    spot.client.cancel_order("BTCUSDT", order.client_order_id)
    spot.wait(1)
    actors.sweep_account(spot.account.pk, "spot")
    entry = BotInbox.objects.get(kind="order")
    assert (entry.bot_id, entry.handled_at) == (bot.pk, None)
    assert messages("answer-inbox") == [(bot.pk, entry.pk)]
    actors.sweep_account(spot.account.pk, "spot")
    assert BotInbox.objects.filter(kind="order").count() == 1


def test_a_resting_order_is_asked_for_every_five_minutes_once_a_slot(spot: Desk, settings):
    bot = enter(spot)
    limit_by_hand(spot, client_id(settings.DEPLOYMENT_NONCE, bot.pk, 90))
    order = _as_its_order(spot, bot)
    key = (spot.account.pk, "spot")
    now = clock.now()
    assert reconciling.orders_due(now, now) == []
    later = now + timedelta(minutes=5)
    assert reconciling.orders_due(later, later) == [key]
    assert reconciling.orders_due(later, later) == []
    spot.wait(1)
    assert reconciling.ask_for_orders(*key, clock.now()) == []
    order.refresh_from_db()
    assert order.asked_at == clock.now()
    spot.client.cancel_order("BTCUSDT", order.client_order_id)
    assert [wake.bot_id for wake in reconciling.ask_for_orders(*key, clock.now())] == [bot.pk]


@pytest.mark.parametrize(
    ("side", "type_", "price", "stop", "reached", "not_reached"),
    [
        ("SELL", "STOP_LOSS", None, 90, 89.0, 91.0),
        ("SELL", "STOP_LOSS_LIMIT", 88, 90, 90.0, 90.5),
        ("BUY", "STOP_MARKET", None, 90, 91.0, 89.0),
        ("SELL", "LIMIT_MAKER", 110, None, 110.0, 109.0),
        ("SELL", "TAKE_PROFIT_MARKET", None, 110, 111.0, 109.0),
        ("BUY", "LIMIT", 90, None, 90.0, 91.0),
    ],
)
def test_when_the_price_has_reached_an_order(side, type_, price, stop, reached, not_reached):
    order = Order(side=side, type=type_, price=price and Decimal(price), stop_price=stop and Decimal(stop))
    assert reconciling.is_reached(order, reached)
    assert not reconciling.is_reached(order, not_reached)


def _as_its_order(desk: Desk, bot: Any) -> Order:
    """The resting order made by hand as one of the bot's journal."""
    from trading import orphans

    sweep_once(desk)
    order = orphans.adopt(orphan=Orphan.objects.get(), by=desk.owner, client=desk.client, now=clock.now())
    assert sweep_orders.live_orders_changed(desk.account, "spot", desk.client, clock.now()) == []
    return order


def reconcile_command(*options: str) -> tuple[int, Any]:
    """The exit code and the document of `manage.py reconcile --json`."""
    from io import StringIO

    out, code = StringIO(), 0
    try:
        call_command("reconcile", "--json", *options, stdout=out)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, json.loads(out.getvalue())


@pytest.mark.broken_books("the orphan stays open")
def test_the_command_says_what_differs_by_its_exit_code(spot: Desk):
    enter(spot)
    spot.wait(1)
    code, document = reconcile_command("--account", str(spot.account.pk))
    assert (code, document["clean"], document["accounts"][0]["findings"]) == (0, True, [])
    limit_by_hand(spot, client_id("zzzzzz", 7, 1))
    spot.wait(1)
    code, document = reconcile_command()
    assert (code, document["clean"], len(document["accounts"][0]["orphans"])) == (3, False, 1)
    spot.paper.stop()
    code, document = reconcile_command()
    assert (code, bool(document["accounts"][0]["error"])) == (1, True)


@pytest.mark.django_db
@pytest.mark.parametrize("word", ["x", "-1", "9" * 30, "999999"])
def test_the_command_refuses_an_unknown_account(word: str):
    assert reconcile_command(f"--account={word}")[0] == 2
