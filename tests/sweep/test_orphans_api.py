"""Orphans through the API and the admin: listed, adopted, cancelled, refused in sentences."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from tests.api.support import Api, error_of
from tests.support.desk import Desk
from trading.ids import client_id
from trading.models import AuditEntry, Order, Orphan

from .support import enter, limit_by_hand, sweep


def test_an_owner_lists_adopts_and_cancels_orphans(spot: Desk, settings):
    bot = enter(spot)
    for number in (90, 91):
        limit_by_hand(spot, client_id(settings.DEPLOYMENT_NONCE, bot.pk, number))
    sweep(spot)
    api = Api(spot.owner)
    rows = api.get("orphans/?open=true&ordering=id")["results"]
    assert [(row["kind"], row["status"], row["bot"], row["quantity"]) for row in rows] == [
        ("orphan", "NEW", bot.pk, "2")
    ] * 2
    first, second = (row["id"] for row in rows)
    adopted = api.post(f"orphans/{first}/adopt/")
    assert (adopted.status_code, adopted.json()["resolution"]) == (200, "adopted")
    assert Order.objects.filter(live=True).count() == 1
    cancelled = api.post(f"orphans/{second}/cancel/")
    assert (cancelled.status_code, cancelled.json()["resolution"]) == (200, "cancelled")
    assert "adopted already" in error_of(api.post(f"orphans/{first}/cancel/"), 409)["message"]
    assert api.get("orphans/?open=true")["results"] == []
    assert len(api.get("orphans/?open=false")["results"]) == 2
    assert list(AuditEntry.objects.order_by("id").values_list("action", "user")) == [
        ("orphan adopted", spot.owner.pk),
        ("orphan cancelled", spot.owner.pk),
    ]


def test_a_foreign_order_is_cancelled_in_the_admin_and_never_adopted(spot: Desk):
    enter(spot)
    limit_by_hand(spot, "someone-else-1")
    sweep(spot)
    spot.owner.is_staff = spot.owner.is_superuser = True
    spot.owner.save()
    orphan = Orphan.objects.get()
    client, address = Client(), reverse("admin:trading_orphan_changelist")
    client.force_login(spot.owner)
    chosen = {"_selected_action": [orphan.pk]}
    page = client.post(address, chosen | {"action": "adopt"}, follow=True).content.decode()
    assert "is not TradeBot&#x27;s" in page
    page = client.post(address, chosen | {"action": "cancel"}, follow=True).content.decode()
    assert "Cancelled: someone-else-1." in page
    orphan.refresh_from_db()
    assert orphan.resolution == "cancelled"
    assert spot.client.open_orders() == []
    assert client.get(reverse("admin:trading_accountsweep_changelist")).status_code == 200
