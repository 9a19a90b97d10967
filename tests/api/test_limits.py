"""Limits across bots through the API: one row for an account, one over all, each owner's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.support import Api, error_of
from tests.support.owners import make_account, make_owner, row_counts
from trading.limits_service import limits_create
from trading.models import ExchangeAccount, RiskLimits

pytestmark = pytest.mark.django_db

NONE = {
    "max_daily_loss": None,
    "max_exposure_per_coin": None,
    "max_exposure": None,
    "max_open_positions": None,
    "max_orders_per_minute": None,
}


def test_limits_are_set_read_changed_and_removed(api: Api, account: ExchangeAccount) -> None:
    body = {"account": account.pk, "max_daily_loss": 50.25, "max_open_positions": 5}
    made = api.post("limits/", body)
    row = RiskLimits.objects.get()
    path = f"limits/{row.pk}/"
    assert made.status_code == 201
    assert made["Location"].endswith(f"/api/v1/{path}")
    values = NONE | {"max_daily_loss": "50.25", "max_open_positions": 5}
    assert made.json() == values | {
        "id": row.pk,
        "user": account.user_id,
        "account": account.pk,
        "loss_reached_on": None,
        "updated_at": made.json()["updated_at"],
    }
    read = api.get(path)
    assert api.get("limits/")["results"] == [read]
    changed = api.patch(path, {"max_exposure": "1000", "max_open_positions": None}).json()
    values |= {"max_exposure": "1000", "max_open_positions": None}
    assert {name: changed[name] for name in NONE} == values
    assert api.delete(path).status_code == 204
    assert not RiskLimits.objects.exists()


def test_another_daily_loss_is_judged_anew(api: Api, account: ExchangeAccount) -> None:
    row = limits_create(user=account.user, account=account, values={"max_daily_loss": 5})
    RiskLimits.objects.update(loss_reached_on="2026-04-01")
    assert api.patch(f"limits/{row.pk}/", {"max_exposure": 9}).json()["loss_reached_on"] == "2026-04-01"
    assert api.patch(f"limits/{row.pk}/", {"max_daily_loss": 6}).json()["loss_reached_on"] is None


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"max_daily_loss": 0}, ["max_daily_loss"]),
        ({"max_daily_loss": "-1"}, ["max_daily_loss"]),
        ({"max_exposure": "1e5"}, ["max_exposure"]),
        ({"max_exposure": True}, ["max_exposure"]),
        ({"max_exposure": "0.000000001"}, ["max_exposure"]),
        ({"max_exposure_per_coin": [1]}, ["max_exposure_per_coin"]),
        ({"max_open_positions": 2.5}, ["max_open_positions"]),
        (
            {"max_open_positions": 0, "max_orders_per_minute": {}},
            ["max_open_positions", "max_orders_per_minute"],
        ),
        ({"user": 1}, ["user"]),
        ({"loss_reached_on": None}, ["loss_reached_on"]),
        ({"max_fun": 1}, ["max_fun"]),
    ],
    ids=str,
)
def test_bad_limits_are_400_at_their_field_and_change_nothing(
    api: Api, account: ExchangeAccount, body: dict[str, Any], fields: list[str]
) -> None:
    row = limits_create(user=account.user, account=account, values={"max_open_positions": 3})
    before, counts = RiskLimits.objects.values().get(), row_counts()
    assert list(error_of(api.post("limits/", body), 400)["fields"]) == fields
    assert list(error_of(api.patch(f"limits/{row.pk}/", body), 400)["fields"]) == fields
    assert (RiskLimits.objects.values().get(), row_counts()) == (before, counts)


def test_another_users_account_is_no_account(api: Api, account: ExchangeAccount) -> None:
    foreign = make_account(make_owner("eve"))
    for number in (foreign.pk, 10**17, 10**30, 0, -1, True, "1", [1]):
        error = error_of(api.post("limits/", {"account": number, "max_exposure": 1}), 400)
        assert error["fields"] == {"account": "There is no such account; choose one of your own."}
    assert not RiskLimits.objects.exists()


def test_there_is_one_row_for_each_account_and_one_over_all(api: Api, account: ExchangeAccount) -> None:
    for body in ({"account": account.pk}, {"account": None}):
        assert api.post("limits/", body | {"max_exposure": 1}).status_code == 201
        assert list(error_of(api.post("limits/", body), 400)["fields"]) == ["account"]
    assert [row["account"] for row in api.get("limits/")["results"]] == [account.pk, None]
    assert len(api.get(f"limits/?account={account.pk}")["results"]) == 1


def test_the_account_stays_and_there_is_no_put(api: Api, account: ExchangeAccount) -> None:
    row = limits_create(user=account.user, account=account, values={})
    error = error_of(api.patch(f"limits/{row.pk}/", {"account": None}), 400)
    assert "can only be read" in error["fields"]["account"]
    error_of(api.put(f"limits/{row.pk}/", {}), 405)


def test_another_users_limits_are_404(api: Api, account: ExchangeAccount) -> None:
    foreign = make_account(make_owner("eve"))
    row = limits_create(user=foreign.user, account=foreign, values={"max_exposure": 1})
    for method in ("GET", "PATCH", "DELETE"):
        error_of(api.send(method, f"limits/{row.pk}/", {"max_exposure": 2}), 404)
    assert api.get("limits/")["results"] == []
    assert RiskLimits.objects.get().max_exposure == 1
    root = Api(make_owner(superuser=True))
    assert root.patch(f"limits/{row.pk}/", {"max_exposure": 2}).json()["user"] == foreign.user_id
    another = make_account(foreign.user)
    assert root.post("limits/", {"account": another.pk}).json()["user"] == foreign.user_id
