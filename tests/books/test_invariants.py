"""Each invariant is broken by hand, and found; books that nobody broke are in order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction

from bots import services
from bots.models import BotRun
from tests.books.conftest import AT_SIGNAL
from tests.support import books
from tests.support.desk import SIGNAL, Desk
from tradebot import clock
from trading import books_check, compare, invariants
from trading.accounts import read_key
from trading.findings import Finding
from trading.invariants import Scope
from trading.models import AccountState, BotState, Fill, Order, OrderRequest, Trade

pytestmark = pytest.mark.broken_books("each test breaks an invariant, or puts it right again")
MINUTE = timedelta(minutes=1)


def check(scope: Scope = invariants.EVERYTHING, **options: object) -> list[Finding]:
    return invariants.check_database(scope, now=options.pop("now", None) or clock.now(), **options)  # type: ignore[arg-type]


def names(found: list[Finding]) -> list[str]:
    return sorted({one.invariant for one in found})


def without(index: str) -> None:
    """Drop what holds an invariant by itself; the fixture `undone` puts it back."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {index}")


@pytest.fixture
def undone(holder):
    """What the test does to tables and rows is undone at its end."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def copy_of(row, **changes: object):
    """The same row once more."""
    row = type(row).objects.get(pk=row.pk)
    row.pk, row._state.adding = None, True
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()
    return row


def test_books_that_nobody_broke_are_in_order(desk, holder):
    assert check() == []
    services.bot_close(bot=holder, by=desk.owner)
    assert desk.run(holder, key="close").outcome == "traded"
    assert check() == check(Scope(bot_id=holder.pk, since=SIGNAL - MINUTE)) == []
    assert [books_check.against_exchange(pair) for pair in books_check.pairs()] == [[]]


def test_two_open_requests_of_a_lane(holder, undone):
    without("one_open_request_per_bot_and_lane")
    request = OrderRequest.objects.get()
    for number in range(2):
        copy_of(request, state="PREPARED", client_id=f"tb1-tests0-1-z{number}", reserved_amount=0)
    assert "I1" in names(check())


def test_two_entries_for_a_signal_and_two_live_orders(holder, undone):
    order = Order.objects.get()
    without("one_entry_per_signal")
    copy_of(order, client_order_id="tb1-tests0-1-z1", executed_quantity=0)
    (found,) = [one for one in check() if one.invariant == "I2"]
    assert found.sentence.startswith("2 entries for the signal of 2026-04-01")
    without("one_live_order_per_purpose_and_part")
    for number in range(2):
        copy_of(order, client_order_id=f"tb1-tests0-1-y{number}", purpose="EXIT", live=True, status="NEW")
    assert any(one.sentence.startswith("2 live orders") for one in check())


def test_an_order_that_is_over_and_counts_as_live(holder):
    Order.objects.update(live=True)
    (found,) = [one for one in check() if one.invariant == "I2"]
    assert found.sentence == "the order is FILLED and counts as live"
    Order.objects.update(live=False, status="NEW")
    assert [one.sentence for one in check() if one.invariant == "I2"] == [
        "the order is NEW and counts as over"
    ]


@pytest.mark.parametrize(("asked_later", "severity"), [(True, "error"), (False, "warning")])
def test_a_doubt_that_does_not_end(holder, undone, asked_later, severity):
    request = copy_of(
        OrderRequest.objects.get(), state="PREPARED", client_id="tb1-tests0-1-z", reserved_amount=0
    )
    final = AT_SIGNAL + timedelta(seconds=5 + 600 + 900)
    request.answered = True
    request.hold_long = True
    request.last_not_found_at = final + 3 * MINUTE if asked_later else None
    request.save()
    assert check(now=final - MINUTE) == []
    (found,) = check(now=final + 3 * MINUTE)
    assert (found.invariant, found.severity) == ("I3", severity)


def test_fills_that_do_not_add_up_to_the_order(holder):
    Order.objects.update(executed_quantity=1)
    assert "I4" in names(check())


def test_fills_that_stay_away(holder):
    Fill.objects.all().delete()
    Trade.objects.all().delete()
    Order.objects.update(fills_complete=False)
    now = Order.objects.get().updated_at
    assert "I4" not in names(check(now=now + MINUTE))
    assert [one.severity for one in check(now=now + 2 * MINUTE) if one.invariant == "I4"] == ["warning"]
    assert [one.severity for one in check(now=now + 16 * MINUTE) if one.invariant == "I4"] == ["error"]


def test_a_position_that_the_fills_do_not_explain(holder):
    BotState.objects.update(current_position_size_coins=1)
    (found,) = check()
    assert (found.invariant, found.bot_id, found.account_id) == ("I5", holder.pk, holder.account_id)
    assert found.sentence.startswith("the position is 1, the fills say ")


@pytest.mark.parametrize(
    ("model", "changes"), [(BotState, {"realized_total": 5}), (Trade, {"realized_pnl": 5})]
)
def test_realised_pnl_that_the_fills_do_not_give(holder, model, changes):
    model.objects.update(**changes)
    assert "I6" in names(check())


@pytest.mark.parametrize("changes", [{"daily_trades_count": 2}, {"daily_pnl": 1}])
def test_counters_of_the_day(holder, changes):
    BotState.objects.update(**changes)
    assert names(check()) == ["I7"]


def test_trades_without_fills_and_fills_without_trades(holder):
    fills = list(Fill.objects.all())
    Fill.objects.all().delete()
    assert [one.sentence for one in check() if one.invariant == "I8"] == ["a trade without fills"]
    Fill.objects.bulk_create(fills)
    Trade.objects.all().delete()
    assert [one.sentence for one in check() if one.invariant == "I8"] == ["a filled order without a trade"]


def test_reserved_money_that_no_request_needs(holder):
    AccountState.objects.filter(asset="USDT").update(reserved=7)
    (found,) = check()
    assert (found.invariant, found.sentence) == ("I9", "7 are reserved, open entries need 0")


def test_a_position_without_a_stop_is_found_after_90_seconds(holder):
    BotState.objects.update(protection={"stop_loss_perc": 2.0}, naked_since=AT_SIGNAL)
    assert check(now=AT_SIGNAL + timedelta(seconds=89)) == []
    assert names(check(now=AT_SIGNAL + timedelta(seconds=91))) == ["I10"]
    order = Order.objects.get()
    copy_of(
        order, client_order_id="tb1-tests0-1-s", purpose="STOP", live=True, status="NEW", executed_quantity=0,
        fills_complete=False,
    )  # fmt: skip
    assert check(now=AT_SIGNAL + 2 * MINUTE) == []


def test_a_run_of_the_future(holder):
    BotRun.objects.update(slot=clock.now() + timedelta(hours=1))
    assert names(check()) == ["I11"]


def test_a_signature_in_a_text(holder):
    BotState.objects.update(last_error_message="GET /order?x=1&signature=00ff")
    assert names(check()) == ["I15"]
    BotState.objects.update(last_error_message="the canary sings")
    assert check() == []
    assert names(check(canaries=("canary",))) == ["I15"]


def test_a_scope_leaves_out_what_is_not_asked_about(desk, holder):
    BotState.objects.update(daily_pnl=1)
    AccountState.objects.filter(asset="USDT").update(reserved=7)
    assert (
        names(check(Scope(bot_id=holder.pk)))
        == names(check(Scope(account_id=desk.account.pk)))
        == ["I7", "I9"]
    )
    other = desk.account.pk + 1
    assert check(Scope(account_id=other)) == check(Scope(bot_id=holder.pk + 1)) == []
    assert "I7" not in names(check(Scope(since=clock.now() + timedelta(hours=1))))


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (lambda: Order.objects.update(executed_quantity=1), "I12"),
        (lambda: Order.objects.update(client_order_id="tb1-tests0-1-zz", exchange_order_id=99), "I12"),
        (lambda: Fill.objects.update(commission=3), "I13"),
        (lambda: Fill.objects.all().delete(), "I13"),
        (lambda: AccountState.objects.filter(asset="BTC").update(free=3), "I14"),
    ],
)
def test_differences_from_the_exchange(desk, holder, spoil: Callable[[], object], invariant: str):
    spoil()
    (pair,) = books_check.pairs()
    assert invariant in names(books_check.against_exchange(pair))


def test_an_order_of_another_deployment_is_named(desk, holder):
    name = "tb1-other1-1-1"
    assert _stranger(desk, name) == 200
    found = compare.compare(desk.account, "spot", desk.client)
    assert f"BTCUSDT: order {name} was made by another deployment (nonce other1)" in [
        one.sentence for one in found
    ]


def _stranger(desk: Desk, name: str) -> int:
    key = read_key(desk.account)[0].reveal()
    answer = desk.paper.signed(
        "POST", "/api/v3/order", key, symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="20",
        newClientOrderId=name,
    )  # fmt: skip
    return answer.status_code


def test_the_end_of_a_test_finds_broken_books(desk, holder, request):
    class Item:
        fixturenames = request.node.fixturenames

        def get_closest_marker(self, name: str) -> None:
            return None

    books.check(Item())  # type: ignore[arg-type]
    BotState.objects.update(daily_pnl=1)
    with pytest.raises(pytest.fail.Exception, match="I7 bot"):
        books.check(Item())  # type: ignore[arg-type]


def test_books_that_change_while_they_are_compared_are_no_finding(desk, holder, monkeypatch):
    (pair,) = books_check.pairs()
    looks = iter([[Finding("I12", "order a", "differs")], []])
    monkeypatch.setattr(compare, "compare", lambda *arguments: next(looks))
    assert books_check.against_exchange(pair) == []
