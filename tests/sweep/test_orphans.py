"""Orders that the journal lacks: a restored backup, a replayed request, another deployment, a person."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bots import services
from tests.futures.support import AT_SIGNAL
from tests.support.desk import Desk
from tradebot import clock
from tradebot.errors import InvalidInput, Refused
from trading import money, orphans
from trading.ids import client_id
from trading.models import (
    AuditEntry,
    BotState,
    Fill,
    Order,
    OrderRequest,
    Orphan,
    Trade,
    TradeCursor,
)

from .support import enter, limit_by_hand, order_by_hand, row_of, sweep, told


def forget_all(desk: Desk) -> None:
    """The journal as it was before the bot traded: a backup was restored."""
    Trade.objects.all().delete()
    Fill.objects.all().delete()
    Order.objects.all().delete()
    OrderRequest.objects.all().delete()
    TradeCursor.objects.all().delete()
    BotState.objects.update(
        in_position=False, entry_price=None, current_position_size_coins=0, entry_time=None, protection=None
    )


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_after_a_restored_backup_its_orders_are_orphans_and_can_be_adopted(open_one, market):
    desk = open_one(market=market)
    bot = enter(desk)
    before = desk.state(bot)
    names = {row["clientOrderId"] for row in desk.exchange_orders()}
    forget_all(desk)
    found = sweep(desk)
    orphan = Orphan.objects.get()
    assert (orphan.kind, orphan.bot_id, {orphan.client_id}) == ("orphan", bot.pk, names)
    assert (orphan.executed, orphan.status) == (before.current_position_size_coins, "FILLED") or (
        market == "spot"
    )
    assert desk.state(bot).hold == "drift"
    assert found.held == {bot.pk}
    assert told()[0] == orphans.describe(orphan)
    assert sweep(desk, after=11).booked == 0  # nothing is booked twice, nor as a deposit
    order = orphans.adopt(orphan=orphan, by=desk.owner, client=desk.client, now=clock.now())
    assert (order.request.state, order.request.reason) == ("ACCEPTED", "adopted")
    after = desk.state(bot)
    assert after.in_position
    assert after.current_position_size_coins == before.current_position_size_coins
    assert after.entry_price == before.entry_price
    assert desk.differences() == []
    entry = AuditEntry.objects.get()
    assert (entry.user, entry.action) == (desk.owner, "orphan adopted")
    with pytest.raises(Refused, match="adopted already"):
        orphans.adopt(orphan=orphan, by=desk.owner, client=desk.client, now=clock.now())
    assert sweep(desk).is_clean


def test_a_request_that_was_replayed_is_seen_though_it_has_a_known_id(spot: Desk):
    bot = enter(spot)
    order = Order.objects.get()
    order_by_hand(spot, "BUY", "9", order.client_order_id)
    sweep(spot)
    orphan = Orphan.objects.get()
    assert (orphan.kind, orphan.client_id) == ("orphan", order.client_order_id)
    assert orphan.exchange_id != order.exchange_order_id
    assert spot.state(bot).hold == "drift"
    orphans.adopt(orphan=orphan, by=spot.owner, client=spot.client, now=clock.now())
    assert spot.state(bot).current_position_size_coins > 15
    assert Fill.objects.filter(bot=bot, source="own").count() == Fill.objects.count()
    assert sweep(spot).is_clean


def test_a_replayed_sell_beyond_the_position_can_only_be_cancelled(spot: Desk):
    bot = enter(spot)
    order_by_hand(spot, "BUY", "20")
    sweep(spot)
    services.bot_close(bot=bot, by=spot.owner)
    spot.run(bot, key="close")
    sold = Order.objects.get(purpose="EXIT")
    order_by_hand(spot, "SELL", "5", sold.client_order_id)
    sweep(spot)
    orphan = Orphan.objects.get()
    with pytest.raises(Refused, match="cancel it"):
        orphans.adopt(orphan=orphan, by=spot.owner, client=spot.client, now=clock.now())
    orphans.cancel(orphan=orphan, by=spot.owner, client=spot.client, now=clock.now())
    orphan.refresh_from_db()
    assert (orphan.resolution, orphan.executed, orphan.by) == ("cancelled", Decimal(5), spot.owner)
    assert [fill.quantity for fill in Fill.objects.filter(exchange_order_id=orphan.exchange_id)] == [5]
    assert spot.differences() == []
    assert sweep(spot).is_clean
    assert OrderRequest.objects.count() == 2


@pytest.mark.broken_books("the orphan stays open")
def test_an_order_of_another_deployment_pauses_all_bots_of_the_account(spot: Desk):
    bot = enter(spot)
    limit_by_hand(spot, client_id("zzzzzz", 7, 1))
    sweep(spot)
    orphan = Orphan.objects.get()
    assert (orphan.kind, orphan.bot) == ("foreign-nonce", None)
    assert spot.state(bot).hold == "drift"
    assert "another TradeBot deployment" in told()[0]


def test_a_resting_order_of_ours_can_be_adopted_or_cancelled(spot: Desk, settings):
    bot = enter(spot)
    for number in (90, 91):
        limit_by_hand(spot, client_id(settings.DEPLOYMENT_NONCE, bot.pk, number))
    sweep(spot)
    second, first = Orphan.objects.all()
    order = orphans.adopt(orphan=first, by=spot.owner, client=spot.client, now=clock.now())
    assert (order.live, order.purpose, order.status) == (True, "ENTRY", "NEW")
    orphans.cancel(orphan=second, by=spot.owner, client=spot.client, now=clock.now())
    assert [row["clientOrderId"] for row in spot.client.open_orders()] == [order.client_order_id]
    assert Orphan.objects.filter(resolved_at=None).count() == 0
    assert sweep(spot).is_clean


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_a_foreign_order_matters_only_where_nobody_else_should_trade(open_one, market):
    desk = open_one(market=market)
    bot = enter(desk)
    desk.account.is_exclusive = False
    desk.account.save()
    limit_by_hand(desk, "someone-else-1")
    assert sweep(desk).is_clean
    desk.account.is_exclusive = True
    desk.account.save()
    sweep(desk)
    orphan = Orphan.objects.get()
    assert (orphan.kind, orphan.bot_id) == ("foreign", bot.pk)
    assert desk.state(bot).hold == "drift"
    with pytest.raises(Refused, match="not TradeBot's"):
        orphans.adopt(orphan=orphan, by=desk.owner, client=desk.client, now=clock.now())
    desk.client.cancel_order("BTCUSDT", "someone-else-1")
    assert sweep(desk).is_clean
    orphan.refresh_from_db()
    assert orphan.resolution == "gone"


@pytest.mark.broken_books("the orphan stays open")
def test_nobody_ends_an_orphan_of_somebody_else(spot: Desk, django_user_model):
    enter(spot)
    limit_by_hand(spot, client_id("zzzzzz", 7, 1))
    sweep(spot)
    stranger = django_user_model.objects.create_user("stranger")
    for act in (orphans.adopt, orphans.cancel):
        with pytest.raises(InvalidInput):
            act(orphan=Orphan.objects.get(), by=stranger, client=spot.client, now=clock.now())
    assert len(spot.client.open_orders()) == 1


def test_an_order_that_was_taken_for_not_placed_is_booked_when_it_is_met(spot: Desk):
    bot = spot.add_bot()
    spot.client.account()
    sweep(spot)
    spot.go_to(AT_SIGNAL)
    spot.paper.fault("drop_response")
    assert spot.run(bot).outcome == "in doubt"
    request = OrderRequest.objects.get()
    request.state, request.reason, request.resolved_at = "NOT_PLACED", "not placed: wrongly", clock.now()
    request.save()
    request.orders.update(status="NOT_PLACED", live=False, fills_complete=True, signal_used=False)
    money.release(request)
    found = sweep(spot)
    request.refresh_from_db()
    assert request.state == "ACCEPTED"
    state = spot.state(bot)
    assert (state.in_position, state.hold, found.held) == (True, "drift", {bot.pk})
    assert any("taken for not placed" in reason for reason in told())
    assert Fill.objects.filter(bot=bot).exists()
    assert spot.differences() == []
    assert sweep(spot).is_clean


def test_trades_of_ours_that_were_never_booked_are_booked(spot: Desk):
    bot = enter(spot)
    size = spot.state(bot).current_position_size_coins
    Trade.objects.all().delete()
    Fill.objects.all().delete()
    found = sweep(spot)
    assert found.booked == 1
    assert spot.state(bot).current_position_size_coins == size
    assert spot.differences() == []


def test_an_owner_starts_a_drifted_bot_once_the_account_agrees(spot: Desk, settings):
    bot = enter(spot)
    limit_by_hand(spot, client_id(settings.DEPLOYMENT_NONCE, bot.pk, 90))
    sweep(spot)
    for resolve in (False, True):
        if resolve:
            orphans.cancel(orphan=Orphan.objects.get(), by=spot.owner, client=spot.client, now=clock.now())
            assert sweep(spot).is_clean
        services.bot_pause(bot=bot, by=spot.owner)
        services.bot_start(bot=bot, by=spot.owner)
        assert spot.state(bot).hold == ("" if resolve else "drift")
    assert row_of(spot).doubtful is False
