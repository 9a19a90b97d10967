"""Many bots that enter in the same slot, run by real workers, never exceed a limit together."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection

from bots.actors import run_all_active_bots_every_minute
from tests.support.cluster import tail, wait_until_idle
from tests.support.desk import SIGNAL
from trading import limits_core
from trading.accounts import account_create
from trading.limits_service import limits_create
from trading.models import AccountState, BotState, OrderRequest, OutboxMessage

NAMES = [f"COIN{number:02}USDT" for number in range(24)]


@pytest.mark.parametrize(
    ("scope", "values", "reason"),
    [
        ("account", {"max_open_positions": 5}, "not buying: open positions of account paper: 5 of 5"),
        ("owner", {"max_exposure": "550"}, "not buying: exposure of owner owner: "),
    ],
)
def test_five_of_twenty_four_enter(make_desk, start_workers, tmp_path, scope, values, reason):
    desk = make_desk(NAMES)
    if scope == "account":
        limits_create(user=desk.owner, account=desk.account, values=values)
    else:
        limits_create(user=desk.owner, account=None, values=values)
    first = desk.account
    for number, name in enumerate(NAMES):
        if scope == "owner" and number == 12:  # the other half on another account: other money, same owner
            desk.account = account_create(user=desk.owner, name="other", environment="paper")
        desk.add_bot(name, initial_capital="100")
    desk.go_to(SIGNAL + timedelta(seconds=2))
    start_workers(desk)
    run_all_active_bots_every_minute.send(SIGNAL.isoformat())
    wait_until_idle()
    states = BotState.objects.all()
    assert states.filter(in_position=True).count() == 5, tail(tmp_path / "logs")
    assert OrderRequest.objects.count() == 5
    assert set(OrderRequest.objects.values_list("state", flat=True)) == {"ACCEPTED"}
    refused = states.filter(in_position=False)
    assert refused.count() == 19
    assert {state.status_reason.startswith(reason) for state in refused} == {True}
    assert set(AccountState.objects.filter(asset="USDT").values_list("reserved", flat=True)) == {0}
    assert OutboxMessage.objects.filter(event="limit").count() == 1
    for account in {first, desk.account}:
        desk.account = account
        assert desk.differences() == []


@pytest.mark.parametrize(
    "values", [{"max_open_positions": 1}, {"max_exposure": "150"}, {"max_orders_per_minute": 1}]
)
def test_of_two_entries_at_the_same_moment_on_two_accounts_one_is_let_in(make_desk, monkeypatch, values):
    desk = make_desk(NAMES[:2])
    limits_create(user=desk.owner, account=None, values=values)
    first = desk.add_bot(NAMES[0], initial_capital="100")
    desk.account = account_create(user=desk.owner, name="other", environment="paper")
    second = desk.add_bot(NAMES[1], initial_capital="100")
    desk.go_to(SIGNAL + timedelta(seconds=2))
    meeting = threading.Barrier(2)
    reckon = limits_core.breach
    outcomes = []

    def then_wait_for_the_other(*arguments):
        """Without the owner's lock both have reckoned before either has written."""
        found = reckon(*arguments)
        with suppress(threading.BrokenBarrierError):
            meeting.wait(1)
        return found

    def enter(bot) -> None:
        outcomes.append(desk.run(bot).outcome)
        connection.close()

    monkeypatch.setattr(limits_core, "breach", then_wait_for_the_other)
    threads = [threading.Thread(target=enter, args=(bot,)) for bot in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "traded"]
    assert OrderRequest.objects.count() == BotState.objects.filter(in_position=True).count() == 1
