"""What a switch does to the bots: mail to those with something to do, statuses, notifications."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bots import inbox, services_kill
from bots.explain import explain
from bots.models import BotInbox
from bots.screen import screen
from bots.services_kill import begin, carry_out, lift, mail, switch_on
from marketdata import symbols
from tests.support.desk import SIGNAL
from tests.support.owners import (
    NOW,
    load_symbols,
    make_account,
    make_bot,
    make_order,
    make_owner,
    make_request,
    put_in_position,
)
from tradebot import clock
from trading import orders
from trading.locks import lock_state
from trading.models import BotState, KillSwitch, Order, OrderRequest, OutboxMessage
from trading.types import Wish

ALL = {"scope": "all", "level": "flatten", "reason": "bad news"}


@pytest.fixture
def bots(db, request):
    """Five bots: flat, in position, a resting entry order, an entry in doubt, a lone exit order."""
    request.node.add_marker(pytest.mark.broken_books("these rows are made up: a position without fills"))
    load_symbols()
    account = make_account(make_owner("olga"), name="main")
    made = [make_bot(account, name=name) for name in ("flat", "long", "resting", "doubt", "leaving")]
    put_in_position(made[1])
    make_order(
        make_request(made[2], state="ACCEPTED"), live=True, purpose="ENTRY", side="BUY", type="LIMIT",
        signal_time=NOW, signal_used=True,
    )  # fmt: skip
    make_request(made[3], state="UNKNOWN")
    make_order(make_request(made[4], state="ACCEPTED", lane="exit"), live=True)
    return made


@pytest.fixture
def woken(django_capture_on_commit_callbacks):
    """The ids of the inbox entries that were woken."""
    return []


@pytest.mark.parametrize(
    ("level", "kind", "names"),
    [
        ("no_entries", None, set()),
        ("cancel", "run", {"resting", "doubt"}),
        ("flatten", "close", {"long", "resting", "doubt", "leaving"}),
    ],
)
def test_only_bots_with_something_to_do_get_mail_and_are_woken_once(
    bots, woken, django_capture_on_commit_callbacks, level, kind, names
):
    with django_capture_on_commit_callbacks(execute=True):
        switch = switch_on(by=None, values=ALL | {"level": level}, wake=woken.append, wait_seconds=0)
    rows = BotInbox.objects.all()
    assert {row.bot.name for row in rows} == names
    assert {row.kind for row in rows} <= {kind}
    assert len(rows) == len(names)
    assert all(row.payload == {"kill_switch": switch.pk, "reason": "bad news"} for row in rows)
    assert {tuple(ids) for ids in woken} == ({tuple(sorted(row.pk for row in rows))} if names else set())
    # again, while nothing was answered: the same mail is woken again, and none is added
    with django_capture_on_commit_callbacks(execute=True):
        carry_out(switch, wake=woken.append, wait_seconds=0)
    assert BotInbox.objects.count() == len(names)


def test_a_bot_that_answered_is_asked_again_when_it_is_repeated(bots):
    switch = begin(by=None, values=ALL, now=NOW)
    first = mail(switch, NOW, list)
    BotInbox.objects.update(handled_at=NOW)
    second = mail(switch, NOW + timedelta(seconds=1), list)
    assert len(first) == len(second) == 4
    assert set(first).isdisjoint(second)
    lift(switch=switch, by=None, now=NOW)
    switch.refresh_from_db()
    assert mail(switch, NOW + timedelta(seconds=2), list) == []


def test_mail_for_many_bots_is_a_few_statements(bots, django_assert_max_num_queries):
    switch = begin(by=None, values=ALL, now=NOW)
    with django_assert_max_num_queries(5):  # two of them a savepoint
        assert len(mail(switch, NOW, list)) == 4


def test_flatten_keeps_the_wish_to_leave_while_an_entry_may_still_fill(bots):
    switch = begin(by=None, values=ALL, now=NOW)
    mail(switch, NOW, list)
    for bot in bots[1:4]:
        state = lock_state(bot.pk)
        inbox.take(state, NOW)
        assert state.exit_wanted == "kill switch: bad news", bot.name
    leaving = lock_state(bots[4].pk)
    inbox.take(leaving, NOW)
    assert leaving.exit_wanted == ""  # flat, and only an exit order is there


def test_owners_of_bots_that_trade_are_told_once_a_level_and_of_the_end(bots):
    idle = make_owner("idle")
    make_bot(make_account(idle, name="idle"), name="idle")
    switch = switch_on(by=None, values=ALL | {"level": "no_entries"}, wake=list, wait_seconds=0)
    carry_out(switch, wake=list, wait_seconds=0)
    switch_on(by=None, values=ALL, wake=list, wait_seconds=0)
    lift(switch=switch, by=None, now=NOW)
    told = [
        (row.user.username, row.event, row.bot_id, row.payload)
        for row in OutboxMessage.objects.order_by("pk")
    ]
    about = {"bot": "all bots", "scope": "all", "reason": "bad news"}
    assert told == [
        (
            "olga",
            "paused",
            None,
            about | {"level": "no_entries", "status": "paused by the kill switch (no entries)"},
        ),
        (
            "olga",
            "paused",
            None,
            about
            | {
                "level": "flatten",
                "status": "paused by the kill switch "
                "(no entries, cancel resting entry orders and close positions)",
            },
        ),
        (
            "olga",
            "paused",
            None,
            about | {"level": "flatten", "status": "the kill switch was lifted: new signals count again"},
        ),
    ]


def test_open_entries_are_counted_as_left(bots):
    switch = begin(by=None, values=ALL, now=NOW)
    assert services_kill.entries_left(switch) == 1


def test_chunks_are_ranges_of_ids():
    assert list(services_kill.chunked([1, 2, 5, 9, 12], 2)) == [(1, 2), (5, 9), (12, 12)]
    assert list(services_kill.chunked([], 2)) == []


# --- with an exchange


def look(bot):
    slot = clock.slot_of(clock.now())
    return screen(slot=slot, trigger="minute", number=0, first_id=bot.pk, last_id=bot.pk, now=clock.now())


def test_a_screen_sends_no_run_for_a_barred_entry_and_says_why_on_the_bot(make_desk):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    bot.refresh_from_db()
    BotInbox.objects.update(handled_at=NOW)  # the start's own mail
    switch = switch_on(
        by=desk.owner, values={"scope": "owner", "reason": "holiday"}, wake=list, wait_seconds=5
    )
    desk.go_to(SIGNAL + timedelta(seconds=2))
    found = look(bot)
    why = "not buying: the kill switch is on: holiday"
    assert (found.calls, found.statuses) == ([], [(bot.pk, 0, "paused", why)])
    assert (desk.state(bot).status, desk.state(bot).status_reason) == ("paused", why)
    assert explain(bot, clock.now()).decision.reasons[0] == why
    assert explain(bot, clock.now()).decision.status == "paused"
    assert look(bot).statuses == []  # nothing new to write
    KillSwitch.objects.update(reason="long holiday")
    assert look(bot).statuses == [(bot.pk, 0, "paused", "not buying: the kill switch is on: long holiday")]
    lift(switch=switch, by=desk.owner, now=clock.now())
    assert [call.bot_id for call in look(bot).calls] == [bot.pk]  # the candle's signal still holds
    desk.wait(60)
    assert look(bot).calls == []
    assert (desk.state(bot).status, desk.state(bot).status_reason) == ("waiting", "")


def test_a_screen_reads_the_switches_once_for_all_its_bots(make_desk):
    desk = make_desk(["BTCUSDT", "ETHUSDT"])
    bots = [desk.add_bot(), desk.add_bot("ETHUSDT")]
    switch_on(by=None, values=ALL | {"level": "no_entries"}, wake=list, wait_seconds=5)
    with CaptureQueriesContext(connection) as queries:
        screen(
            slot=clock.slot_of(clock.now()), trigger="minute", number=0,
            first_id=bots[0].pk, last_id=bots[1].pk, now=clock.now(),
        )  # fmt: skip
    assert sum("trading_killswitch" in query["sql"] for query in queries) == 1


def test_a_position_holds_on_under_a_switch_its_stop_works_and_flatten_sells_it(make_desk):
    desk = make_desk(["BTCUSDT", "ETHUSDT"])
    first, second = desk.add_bot(), desk.add_bot("ETHUSDT", stop_loss_perc="1")
    desk.go_to(SIGNAL + timedelta(seconds=2))
    assert {desk.run(bot).outcome for bot in (first, second)} == {"traded"}
    switch_on(by=None, values=ALL | {"level": "no_entries"}, wake=list, wait_seconds=5)
    first.refresh_from_db()
    assert explain(first, clock.now()).decision.reasons[-1] == (
        "no new entries, exits go on: the kill switch is on: bad news"
    )
    desk.paper.control("/paper/price", {"symbol": "ETHUSDT", "price": "90"})
    desk.wait(60)
    assert desk.run(second).outcome == "filled"  # its stop, which rests on the exchange
    assert not desk.state(second).in_position
    assert desk.state(first).in_position
    switch_on(by=None, values=ALL, wake=list, wait_seconds=5)
    assert BotInbox.objects.get(handled_at__isnull=True).bot == first
    desk.run(first, "mail")
    assert not desk.state(first).in_position
    exits = Order.objects.filter(purpose="EXIT", bot=first)
    assert exits.get().reason == "kill switch: bad news"
    assert desk.state(first).exit_wanted == ""
    assert first.is_active
    assert OrderRequest.objects.filter(lane="entry").count() == 2
    assert BotState.objects.filter(in_position=True).count() == 0
    assert desk.differences() == []


def rest_an_entry(desk, bot) -> OrderRequest:
    """A limit order of the bot that waits for a lower price; its decision knows nothing of it."""
    rules = symbols.rules_for(desk.client.source, bot.symbol)
    wish = Wish("ENTRY", 0, "BUY", "LIMIT", 5000, "waits", price=99.0, signal_time=SIGNAL)
    with transaction.atomic():
        request = orders.prepare(
            state=lock_state(bot.pk),
            target=orders.Target(bot.pk, bot.account_id, bot.market, bot.symbol),
            wishes=(wish,),
            rules=rules,
            now=clock.now(),
            server_ms=desk.client.now_ms(),
        )
    return orders.send(
        request.pk,
        bot_id=bot.pk,
        epoch=request.epoch,
        client=desk.client,
        still_wanted=lambda state: None,
        rules=rules,
        now=clock.now,
    )


@pytest.mark.parametrize("level", ["cancel", "flatten"])
def test_resting_entry_orders_are_cancelled_on_the_exchange(make_desk, level):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    desk.run(bot)  # asks for the balance
    desk.go_to(SIGNAL + timedelta(seconds=2))
    assert rest_an_entry(desk, bot).state == "ACCEPTED"
    assert [order["status"] for order in desk.exchange_orders()] == ["NEW"]
    BotInbox.objects.update(handled_at=NOW)
    switch_on(by=None, values=ALL | {"level": level}, wake=list, wait_seconds=5)
    entry = BotInbox.objects.get(handled_at__isnull=True)
    desk.run(bot, "mail")
    assert [order["status"] for order in desk.exchange_orders()] == ["CANCELED"]
    entry.refresh_from_db()
    assert entry.handled_at is not None
    assert desk.run(bot, "and again").outcome == "held"
    state = desk.state(bot)
    assert (state.exit_wanted, state.status) == ("", "paused")
    assert not Order.objects.filter(live=True).exists()
