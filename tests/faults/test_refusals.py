"""Every rejection by its name: REJECTED with the exchange's code, not tried again, and nothing is left."""

from __future__ import annotations

from datetime import timedelta

from tests.support.desk import SIGNAL, Desk, open_desk
from trading.models import BotState, Order, OrderRequest
from trading.paper.fault_refusals import REASONS

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
NOT_THEIRS = {
    *("UNKNOWN_ORDER", "NO_SUCH_ORDER", "ORDER_ARCHIVED"),  # answers to questions, not to orders
}


def refused_by_every_name(desk: Desk, path: str, names: set[str]) -> dict[str, tuple[str, int]]:
    """State and code of an entry that is refused, by the name of the refusal."""
    bot = desk.add_bot()
    found = {}
    for name in sorted(names - NOT_THEIRS):
        Order.objects.update(signal_used=False)
        BotState.objects.update(last_signal_time=None, rejections_in_a_row=0, hold="")
        desk.go_to(AT_SIGNAL)
        desk.paper.control(
            "/paper/faults", {"kind": "reject", "reason": name, "path": path, "method": "POST"}
        )
        desk.run(bot, key=name)
        desk.paper.control("/paper/faults", method="DELETE")
        request = OrderRequest.objects.latest("id")
        assert OrderRequest.objects.count() == len(found) + 1, name
        found[name] = (request.state, request.code)
        assert not Order.objects.filter(live=True).exists(), name
    return found


def test_spot(desk):
    codes = {name: spot[0] for name, (spot, _) in REASONS.items() if spot}
    found = refused_by_every_name(desk, "/api/v3/order", set(codes))
    assert found == {name: ("REJECTED", code) for name, code in codes.items() if name not in NOT_THEIRS}
    assert desk.exchange_orders() == []
    assert desk.differences() == []


def test_futures(tmp_path, settings, django_user_model, transactional_db):
    desk = open_desk(tmp_path, settings, django_user_model, market="futures")
    try:
        codes = {name: futures[0] for name, (_, futures) in REASONS.items() if futures}
        found = refused_by_every_name(desk, "/fapi/v1/order", set(codes))
        assert found == {name: ("REJECTED", code) for name, code in codes.items() if name not in NOT_THEIRS}
        assert desk.exchange_orders() == []
    finally:
        desk.feed.close()
        desk.paper.stop()
