"""Kill switches in the admin: the form with its typed level, who may do what, repeating and lifting."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bots.services_kill import begin
from tests.admin.support import errors_of, messages_of, page
from tests.support.owners import (
    NOW,
    load_symbols,
    make_account,
    make_bot,
    make_owner,
    put_in_position,
    row_counts,
)
from trading.models import KillSwitch

pytestmark = pytest.mark.django_db
ADD = "admin:trading_killswitch_add"
LIST = "admin:trading_killswitch_changelist"


def browser_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def bot() -> Any:
    load_symbols()
    return make_bot(make_account(make_owner("olga", staff=True), name="main"), name="first")


@pytest.fixture
def browser(bot: Any) -> Client:
    return browser_of(bot.user)


@pytest.fixture
def root(db: None) -> Client:
    return browser_of(make_owner("root", superuser=True))


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What was sent to workers; nothing is."""
    calls: dict[str, list[Any]] = {"wake": [], "carry_out": []}
    monkeypatch.setattr("bots.admin.kill.wake_bots", lambda ids: calls["wake"].append(list(ids)))
    monkeypatch.setattr(
        "bots.admin.kill.carry_out_kill_switch.send", lambda pk: calls["carry_out"].append(pk)
    )
    monkeypatch.setattr("bots.admin.kill.deliver_soon", lambda: None)
    return calls


def form(**changes: Any) -> dict[str, Any]:
    return {"scope": "owner", "level": "no_entries", "reason": "bad news", "confirm": "no_entries"} | changes


def act(client: Client, action: str, *switches: KillSwitch, **extra: str) -> Any:
    data = {"action": action, "_selected_action": [switch.pk for switch in switches], **extra}
    return client.post(reverse(LIST), data, follow=True)


def test_a_switch_is_set_and_carried_out_after_the_commit(
    browser, bot, sent, django_capture_on_commit_callbacks
):
    put_in_position(bot)
    assert "no new entry of these bots is sent" in page(browser, ADD)
    data = form(scope="bot", bot=bot.pk, level="flatten", confirm="flatten")
    with django_capture_on_commit_callbacks(execute=True):
        assert browser.post(reverse(ADD), data).status_code == 302
    switch = KillSwitch.objects.get()
    assert (switch.key, switch.level, switch.set_by) == (f"bot:{bot.pk}", "flatten", bot.user)
    assert switch.drained_at is not None
    assert sent["wake"] == [[bot.inbox.get().pk]] * 2
    assert f"bot:{bot.pk}" in page(browser, LIST)


def test_an_owners_switch_is_for_the_owner(browser, bot):
    assert browser.post(reverse(ADD), form()).status_code == 302
    assert KillSwitch.objects.get().user == bot.user


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"confirm": ""}, "confirm"),
        ({"confirm": "yes"}, "confirm"),
        ({"level": "flatten"}, "confirm"),
        ({"scope": "all"}, "scope"),
        ({"scope": "planet"}, "scope"),
        ({"level": "loud", "confirm": "loud"}, "level"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 101}, "reason"),
        ({"scope": "bot"}, "bot"),
        ({"scope": "bot", "bot": "FOREIGN"}, "bot"),
        ({"scope": "account", "account": "FOREIGN"}, "account"),
        ({"scope": "symbol", "symbol": "BTCUSDT"}, "account"),
        ({"scope": "symbol", "symbol": "'; drop", "account": "OWN"}, "symbol"),
        ({"symbol": "BTCUSDT"}, "symbol"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_stored(browser, bot, changes, field):
    foreign = make_bot(make_account(make_owner("eve"), name="eve's"), name="eve's")
    own = {"bot": bot.pk, "account": bot.account_id}
    theirs = {"bot": foreign.pk, "account": foreign.account_id}
    data = form(
        **{
            name: {"OWN": own, "FOREIGN": theirs}[value][name] if value in ("OWN", "FOREIGN") else value
            for name, value in changes.items()
        }
    )
    before = row_counts()
    assert set(errors_of(browser.post(reverse(ADD), data))) == {field}
    assert row_counts() == before


def test_superusers_switch_off_everything_and_name_owners(root, bot):
    assert root.post(reverse(ADD), form(scope="all")).status_code == 302
    assert root.post(reverse(ADD), form(user=bot.user_id)).status_code == 302
    assert set(KillSwitch.objects.values_list("key", flat=True)) == {"all", f"owner:{bot.user_id}"}


def test_a_staff_user_can_not_act_for_somebody_else_by_a_field_that_is_not_shown(browser, bot):
    eve = make_owner("eve")
    browser.post(reverse(ADD), form(user=eve.pk))
    assert set(KillSwitch.objects.values_list("user", flat=True)) <= {bot.user_id}


def test_lifting_asks_first(browser, bot, sent):
    switch = begin(by=bot.user, values={"scope": "owner", "reason": "x"}, now=NOW)
    asked = act(browser, "lift", switch)
    assert f"owner:{bot.user_id}: 1 bot, no entries; x" in asked.content.decode()
    switch.refresh_from_db()
    assert switch.lifted_at is None
    assert messages_of(act(browser, "lift", switch, confirmed="yes")) == [f"Lifted owner:{bot.user_id}."]
    switch.refresh_from_db()
    assert switch.lifted_by == bot.user


def test_somebody_elses_switch_is_out_of_reach_and_an_operators_is_refused(browser, bot, root):
    eves = begin(by=None, values={"scope": "owner", "user": make_owner("eve").pk, "reason": "x"}, now=NOW)
    everything = begin(by=None, values={"scope": "all", "reason": "x"}, now=NOW)
    operators = begin(by=None, values={"scope": "owner", "user": bot.user_id, "reason": "x"}, now=NOW)
    done = act(browser, "lift", eves, everything, operators, confirmed="yes")
    assert messages_of(done) == [
        f"Kill switch {operators.pk} was set by an operator; ask for it to be lifted."
    ]
    assert KillSwitch.objects.filter(lifted_at__isnull=True).count() == 3
    act(root, "lift", eves, everything, operators, confirmed="yes")
    assert not KillSwitch.objects.filter(lifted_at__isnull=True).exists()


def test_repeating_asks_an_actor(browser, bot, sent, django_capture_on_commit_callbacks):
    switch = begin(by=bot.user, values={"scope": "owner", "reason": "x"}, now=NOW)
    with django_capture_on_commit_callbacks(execute=True):
        act(browser, "repeat", switch)
    assert sent["carry_out"] == [switch.pk]


def test_nobody_edits_or_deletes_one(root, bot):
    switch = begin(by=None, values={"scope": "all", "reason": "x"}, now=NOW)
    where = reverse("admin:trading_killswitch_change", args=[switch.pk])
    assert b'name="_save"' not in root.get(where).content
    assert root.post(where, form()).status_code == 403
    assert root.post(reverse("admin:trading_killswitch_delete", args=[switch.pk])).status_code == 403


@pytest.mark.parametrize("right", ["add", "change"])
def test_without_the_right_nothing_is_set_or_lifted(browser, bot, right):
    bot.user.user_permissions.remove(bot.user.user_permissions.get(codename=f"{right}_killswitch"))
    switch = begin(by=bot.user, values={"scope": "bot", "bot": bot.pk, "reason": "x"}, now=NOW)
    if right == "add":
        assert browser.post(reverse(ADD), form()).status_code == 403
    else:
        act(browser, "lift", switch, confirmed="yes")
    assert KillSwitch.objects.filter(lifted_at__isnull=True).count() == KillSwitch.objects.count() == 1
