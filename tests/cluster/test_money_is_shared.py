"""Fifty bots of one account that enter in the same slot on money for ten."""

from __future__ import annotations

from datetime import timedelta

from bots.actors import run_all_active_bots_every_minute
from bots.models import BotRun
from tests.support.cluster import tail, wait_until_idle
from tests.support.desk import SIGNAL
from trading.models import AccountState, BotState, OrderRequest

NAMES = [f"COIN{number:02}USDT" for number in range(50)]


def test_money_for_ten_makes_ten_positions_forty_reasons_and_no_rejected_order(
    make_desk, start_workers, tmp_path
):
    desk = make_desk(NAMES)
    for name in NAMES:
        desk.add_bot(name, initial_capital="990")  # 990 with 1 % reserve fits ten times into 10,000
    desk.go_to(SIGNAL + timedelta(seconds=2))
    start_workers(desk)
    run_all_active_bots_every_minute.send(SIGNAL.isoformat())
    wait_until_idle()
    states = BotState.objects.all()
    assert states.filter(in_position=True).count() == 10, tail(tmp_path / "logs")
    assert OrderRequest.objects.count() == 10
    assert set(OrderRequest.objects.values_list("state", flat=True)) == {"ACCEPTED"}
    refused = states.filter(in_position=False)
    assert refused.count() == 40
    assert {state.status for state in refused} == {"waiting"}
    assert all(state.status_reason.startswith("not buying: the account has ") for state in refused)
    assert BotRun.objects.filter(outcome="refused").count() == 40
    assert AccountState.objects.get(asset="USDT").reserved == 0
    assert desk.differences() == []
