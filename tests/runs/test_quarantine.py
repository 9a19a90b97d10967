"""What only a person ends: quarantined requests and holds, by service, API and admin."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bots import doubts
from tests.api.support import Api, error_of
from tests.support.desk import SIGNAL, Desk
from tests.support.owners import make_owner
from tradebot import clock
from tradebot.errors import InvalidInput, Refused
from trading.models import AccountState, AuditEntry, BotState, Fill, Order, OrderRequest

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
LIST = "admin:trading_orderrequest_changelist"


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bots that were woken; no message is sent."""
    calls: list[int] = []
    for place in ("bots.api.bots", "bots.api.doubts", "bots.admin.doubts"):
        monkeypatch.setattr(f"{place}.wake_bot", lambda bot_id, inbox_id: calls.append(bot_id))
    return calls


def quarantined(desk: Desk, fault: str) -> OrderRequest:
    """An entry in doubt that is a person's now."""
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.paper.fault(fault)
    desk.run(bot)
    OrderRequest.objects.update(state="QUARANTINED", reason="the balance differs")
    Order.objects.update(live=False)
    BotState.objects.update(hold="doubt")
    return OrderRequest.objects.get()


def resolve(desk: Desk, row: OrderRequest, outcome: str, **changes: Any) -> OrderRequest:
    values = {"request": row, "outcome": outcome, "reason": "looked at the exchange", "by": desk.owner}
    return doubts.doubt_resolve(**values | changes)[0]


def reserved() -> Decimal:
    return AccountState.objects.get(asset="USDT").reserved


def test_what_the_exchange_has_can_only_be_accepted_and_is_booked(desk):
    row = quarantined(desk, "drop_response")
    desk.wait(700)
    with pytest.raises(Refused, match=r"has request .* \(FILLED, executed .*resolve it as ACCEPTED"):
        resolve(desk, row, "NOT_PLACED")
    assert OrderRequest.objects.get().state == "QUARANTINED"
    assert not AuditEntry.objects.exists()
    row = resolve(desk, row, "ACCEPTED")
    state = desk.state(desk.bots[0])
    assert (row.state, row.reason) == ("ACCEPTED", "resolved by owner: looked at the exchange")
    assert (state.hold, state.in_position, reserved()) == ("", True, 0)
    assert Fill.objects.exists()
    entry = AuditEntry.objects.get()
    assert (entry.user, entry.action, entry.object_id) == (desk.owner, "resolve request", str(row.pk))
    assert (entry.before["state"], entry.after["state"]) == ("QUARANTINED", "ACCEPTED")
    assert desk.differences() == []


def test_what_the_exchange_does_not_have_can_only_be_not_placed_once_it_can_not_arrive(desk):
    row = quarantined(desk, "drop_request")
    with pytest.raises(Refused, match="knows nothing"):
        resolve(desk, row, "ACCEPTED")
    with pytest.raises(Refused, match="may still arrive"):
        resolve(desk, row, "NOT_PLACED")
    assert reserved() > 0
    desk.wait(66)
    row = resolve(desk, row, "NOT_PLACED")
    state = desk.state(desk.bots[0])
    assert (row.state, state.hold, reserved()) == ("NOT_PLACED", "", 0)
    assert state.last_signal_time is None
    with pytest.raises(Refused, match="not quarantined: it is NOT_PLACED"):
        resolve(desk, row, "NOT_PLACED")


def test_a_silent_exchange_or_a_missing_reason_changes_nothing(desk):
    row = quarantined(desk, "drop_request")
    desk.wait(66)
    for reason in ("", "  ", "x" * 501, "a\x00b"):
        with pytest.raises(InvalidInput, match="Say why"):
            resolve(desk, row, "NOT_PLACED", reason=reason)
    with pytest.raises(InvalidInput, match="Outcome must be"):
        resolve(desk, row, "LATE")
    with pytest.raises(InvalidInput, match="There is no doubt"):
        resolve(desk, row, "NOT_PLACED", by=make_owner("eve"))
    desk.paper.fault("unavailable", method="GET", count=-1)
    with pytest.raises(Refused, match="can't be asked now, so nothing was changed"):
        resolve(desk, row, "NOT_PLACED")
    assert OrderRequest.objects.get().state == "QUARANTINED"


@pytest.mark.broken_books("a price in the journal is falsified")
def test_holds_are_cleared_once_nothing_stands_against_it(desk):
    row = quarantined(desk, "drop_response")
    bot, clear = desk.bots[0], {"reason": "compared", "by": desk.owner}
    with pytest.raises(Refused, match="is quarantined: resolve it first"):
        doubts.hold_clear(bot=bot, **clear)
    desk.wait(66)
    resolve(desk, row, "ACCEPTED")
    with pytest.raises(Refused, match="is not held"):
        doubts.hold_clear(bot=bot, **clear)
    BotState.objects.update(hold="key")
    with pytest.raises(Refused, match="another API key"):
        doubts.hold_clear(bot=bot, **clear)
    BotState.objects.update(hold="orders", rejections_in_a_row=3)
    doubts.hold_clear(bot=bot, **clear)
    state = desk.state(bot)
    assert (state.hold, state.rejections_in_a_row) == ("", 0)
    Fill.objects.update(price=1)
    BotState.objects.update(hold="drift")
    with pytest.raises(Refused, match="Journal and exchange do not agree: BTCUSDT: fill"):
        doubts.hold_clear(bot=bot, **clear)
    assert desk.state(bot).hold == "drift"


def test_doubts_in_the_api(desk, woken):
    row = quarantined(desk, "drop_request")
    api, eve = Api(desk.owner), Api(make_owner("eve"))
    assert [(one["id"], one["state"]) for one in api.get("doubts/")["results"]] == [(row.pk, "QUARANTINED")]
    assert api.get("doubts/?state=UNKNOWN")["results"] == eve.get("doubts/")["results"] == []
    assert "payload" not in api.get(f"doubts/{row.pk}/")
    body = {"outcome": "NOT_PLACED", "reason": "looked"}
    error_of(eve.post(f"doubts/{row.pk}/resolve/", body), 404)
    error_of(api.post(f"doubts/{row.pk}/resolve/", {"outcome": "NOT_PLACED"}), 400)
    assert "may still arrive" in error_of(api.post(f"doubts/{row.pk}/resolve/", body), 409)["message"]
    desk.owner.is_staff = True
    desk.owner.save()
    desk.wait(66)
    error_of(api.post(f"doubts/{row.pk}/resolve/", body), 403)
    desk.owner.is_staff = False
    desk.owner.save()
    answer = api.post(f"doubts/{row.pk}/resolve/", body)
    assert (answer.status_code, answer.json()["state"]) == (200, "NOT_PLACED")
    BotState.objects.update(hold="orders")
    error_of(eve.post(f"bots/{row.bot_id}/clear-hold/", {"reason": "seen"}), 404)
    error_of(api.post(f"bots/{row.bot_id}/clear-hold/", {}), 400)
    answer = api.post(f"bots/{row.bot_id}/clear-hold/", {"reason": "seen"})
    assert (answer.status_code, answer.json()["kind"]) == (202, "run")
    assert woken == [row.bot_id, row.bot_id]


def test_doubts_in_the_admin_are_confirmed_with_a_reason(desk, woken):
    row = quarantined(desk, "drop_request")
    desk.wait(66)
    browser = Client()
    staff = make_owner("olga", staff=True)
    browser.force_login(staff)
    assert row.client_id not in browser.get(reverse(LIST)).content.decode()
    desk.owner.is_staff = desk.owner.is_superuser = True
    desk.owner.save()
    browser.force_login(desk.owner)
    chosen = {"_selected_action": [row.pk], "action": "resolve_not_placed"}
    page = browser.post(reverse(LIST), chosen).content.decode()
    assert "Resolve as not placed?" in page
    assert "the balance differs" in page
    assert OrderRequest.objects.get().state == "QUARANTINED"
    page = browser.post(
        reverse(LIST), chosen | {"confirmed": "yes", "reason": "looked"}, follow=True
    ).content.decode()
    assert f"Resolved: {row.client_id} is NOT_PLACED." in page
    BotState.objects.update(hold="orders")
    bots = reverse("admin:bots_botconfig_changelist")
    chosen = {"_selected_action": [row.bot_id], "action": "clear_hold"}
    assert "Clear the holds of these bots?" in browser.post(bots, chosen).content.decode()
    browser.post(bots, chosen | {"confirmed": "yes", "reason": "seen"})
    assert BotState.objects.get().hold == ""
    assert woken == [row.bot_id, row.bot_id]
    assert clock.now() >= AuditEntry.objects.latest("id").at
