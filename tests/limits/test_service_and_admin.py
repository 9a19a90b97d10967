"""Setting limits, by service and in the admin: what may be entered, and by whom."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from tests.admin.support import errors_of, page
from tests.support.owners import make_account, make_owner, row_counts
from tradebot.errors import InvalidInput
from trading.limits_service import FIELDS, limits_change, limits_create, limits_delete
from trading.models import RiskLimits

pytestmark = pytest.mark.django_db
ADD = "admin:trading_risklimits_add"
CHANGE = "admin:trading_risklimits_change"


@pytest.fixture
def owner():
    return make_owner("olga", staff=True)


@pytest.fixture
def account(owner):
    return make_account(owner, name="main")


@pytest.fixture
def browser(owner):
    client = Client()
    client.force_login(owner)
    return client


BAD = [
    "0",
    "-1",
    "-0",
    "NaN",
    "Infinity",
    "1e309",
    "1,5",
    "\uff11\uff12",
    "0.000000000000000001",
    "9" * 30,
    True,
]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("field", FIELDS)
def test_bad_values_name_their_field_and_store_nothing(account, field, value):
    before = row_counts()
    with pytest.raises(InvalidInput) as caught:
        limits_create(user=account.user, account=account, values={field: value})
    assert set(caught.value.fields) == {field}
    assert row_counts() == before


@pytest.mark.parametrize("field", ["max_open_positions", "max_orders_per_minute"])
def test_counts_are_whole(account, field):
    with pytest.raises(InvalidInput, match="must be a whole number"):
        limits_create(user=account.user, account=account, values={field: "2.5"})


def test_unknown_names_are_refused(account):
    with pytest.raises(InvalidInput, match="There is no limit 'max_fun'"):
        limits_create(user=account.user, account=account, values={"max_fun": 1})


def test_one_row_for_each_account_and_one_for_the_owner(owner, account):
    for chosen in (account, None):
        limits_create(user=owner, account=chosen, values={"max_open_positions": 1})
        with pytest.raises(InvalidInput, match="already; change those"):
            limits_create(user=owner, account=chosen, values={"max_open_positions": 2})
    assert RiskLimits.objects.count() == 2


def test_others_accounts_and_limits_are_not_there(owner, account):
    stranger = make_owner("stranger")
    with pytest.raises(InvalidInput, match="There is no such account"):
        limits_create(user=stranger, account=account, values={})
    row = limits_create(user=owner, account=account, values={"max_exposure": "5"})
    with pytest.raises(InvalidInput, match="There are no such limits"):
        limits_change(limits=row, by=stranger, values={"max_exposure": "6"})
    with pytest.raises(InvalidInput, match="There are no such limits"):
        limits_delete(limits=row, by=stranger)
    assert RiskLimits.objects.get().max_exposure == 5


def test_a_change_keeps_the_rest_and_judges_another_loss_anew(owner, account):
    row = limits_create(user=owner, account=account, values={"max_exposure": "5", "max_daily_loss": "1"})
    RiskLimits.objects.update(loss_reached_on="2026-04-01")
    row = limits_change(limits=row, by=owner, values={"max_open_positions": 3})
    assert (row.max_exposure, row.max_open_positions) == (5, 3)
    assert row.loss_reached_on is not None
    row = limits_change(limits=row, by=owner, values={"max_daily_loss": "2"})
    assert row.loss_reached_on is None


def test_the_admin_stores_limits_and_shows_them_without_zeros(browser, account):
    data = {"account": account.pk, "max_exposure": "2500.50", "max_open_positions": "5"}
    assert browser.post(reverse(ADD), data).status_code == 302
    row = RiskLimits.objects.get()
    assert (row.user, row.account, row.max_exposure) == (account.user, account, Decimal("2500.5"))
    assert (row.max_open_positions, row.max_daily_loss) == (5, None)
    assert 'value="2500.5"' in page(browser, CHANGE, row.pk)
    assert browser.post(reverse(CHANGE, args=[row.pk]), {"max_daily_loss": "10"}).status_code == 302
    row.refresh_from_db()
    assert (row.max_exposure, row.max_daily_loss, row.account) == (None, 10, account)


def test_the_admin_stores_an_owners_limits(browser, owner):
    assert browser.post(reverse(ADD), {"max_orders_per_minute": "30"}).status_code == 302
    row = RiskLimits.objects.get()
    assert (row.user, row.account, row.max_orders_per_minute) == (owner, None, 30)
    assert "all accounts together" in page(browser, "admin:trading_risklimits_changelist")


def test_the_admin_tells_what_is_wrong(browser, account):
    errors = errors_of(browser.post(reverse(ADD), {"account": account.pk, "max_exposure": "1,5"}))
    assert errors["max_exposure"][0].startswith("Max exposure must be a number")
    limits_create(user=account.user, account=account, values={"max_exposure": "1"})
    errors = errors_of(browser.post(reverse(ADD), {"account": account.pk, "max_exposure": "2"}))
    assert errors["account"] == ["There are limits for account main already; change those."]


def test_the_admin_offers_no_account_of_others(browser, owner):
    foreign = make_account(make_owner("stranger"), name="STRANGE")
    assert "STRANGE" not in page(browser, ADD)
    errors = errors_of(browser.post(reverse(ADD), {"account": foreign.pk, "max_exposure": "2"}))
    assert "account" in errors
    assert RiskLimits.objects.count() == 0
