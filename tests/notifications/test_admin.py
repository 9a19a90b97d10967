"""Channels in the admin: secrets go in and never come out, a test is one click, deliveries are shown."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from bots.models import ChannelSecret, Delivery, NotificationChannel
from bots.notifications import delivery, services
from tests.admin.support import errors_of, messages_of, page
from tests.notifications.conftest import HOOK, OTHER_SECRET, SECRET, make_channel
from tests.support.owners import make_account, make_bot, make_owner
from tradebot import clock

pytestmark = pytest.mark.django_db
ADD = "admin:bots_notificationchannel_add"
CHANGE = "admin:bots_notificationchannel_change"
LIST = "admin:bots_notificationchannel_changelist"


@pytest.fixture
def browser(owner):
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def asked(monkeypatch):
    calls = []
    monkeypatch.setattr("bots.admin.notifications.deliver_soon", lambda: calls.append(1))
    return calls


def form(receiver, **changes):
    return {
        "name": "main",
        "kind": "webhook",
        "target": receiver.url + HOOK,
        "events": ["trade", "error"],
        "is_active": "on",
        "secret": "",
    } | changes


def test_a_channel_is_stored_and_its_made_secret_shown_once(browser, owner, receiver):
    response = browser.post(reverse(ADD), form(receiver), follow=True)
    channel = NotificationChannel.objects.get()
    secret = services.read_secrets(channel)[0].reveal()
    told = [text for text in messages_of(response) if secret in text]
    assert (channel.user, channel.events, len(told)) == (owner, ["trade", "error"], 1)
    for text in (page(browser, LIST), page(browser, CHANGE, channel.pk)):
        assert "whsec_" not in text.replace("whsec_ and base64", "")


def test_a_given_secret_is_never_shown(browser, receiver):
    response = browser.post(reverse(ADD), form(receiver, secret=SECRET), follow=True)
    assert SECRET not in response.content.decode()
    channel = NotificationChannel.objects.get()
    history = browser.get(reverse("admin:bots_notificationchannel_history", args=[channel.pk]))
    assert SECRET not in page(browser, CHANGE, channel.pk) + history.content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"target": "https://169.254.169.254/"}, "target"),
        ({"target": "http://example.com/"}, "target"),
        ({"events": []}, "events"),
        ({"name": "a\u202eb"}, "name"),
        ({"secret": "hunter2"}, "secret"),
        ({"kind": "email", "target": "nobody"}, "target"),
    ],
)
def test_bad_input_is_told_at_its_field(browser, receiver, changes, field):
    response = browser.post(reverse(ADD), form(receiver, **changes))
    assert field in errors_of(response)
    assert b"hunter2" not in response.content
    assert NotificationChannel.objects.count() == 0


def test_a_change_keeps_the_secret_and_rotation_keeps_both(browser, channel, receiver):
    url = reverse(CHANGE, args=[channel.pk])
    assert browser.post(url, form(receiver, name="renamed")).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, len(services.read_secrets(channel))) == ("renamed", 1)
    assert browser.post(url, form(receiver, secret=OTHER_SECRET)).status_code == 302
    assert [secret.reveal() for secret in services.read_secrets(channel)] == [OTHER_SECRET, SECRET]
    response = browser.post(url, form(receiver, rotate="on"), follow=True)
    new = services.read_secrets(channel)[0].reveal()
    assert any(new in text for text in messages_of(response))


def test_send_a_test_is_one_click(browser, channel, receiver, asked, django_capture_on_commit_callbacks):
    data = {"action": "send_test", "_selected_action": [channel.pk]}
    with django_capture_on_commit_callbacks(execute=True):
        response = browser.post(reverse(LIST), data, follow=True)
    assert messages_of(response)[0].startswith("A test is on its way to channel 0")
    assert asked == [1]
    delivery.empty_channel(channel.pk, clock.now)
    assert b'"type":"test"' in receiver.requests[0].body
    assert "answered 200" in page(browser, LIST)
    assert ">Delivered<" in page(browser, "admin:bots_delivery_changelist")
    assert "This is a test" in page(browser, "admin:bots_delivery_change", Delivery.objects.get().pk)


def test_channels_of_others_are_not_reached(browser, receiver, asked):
    foreign = make_channel(make_owner("stranger"), receiver.url + HOOK, name="STRANGE")
    data = {"action": "send_test", "_selected_action": [foreign.pk], "select_across": "1"}
    assert b"STRANGE" not in browser.post(reverse(LIST), data, follow=True).content
    assert browser.post(reverse(CHANGE, args=[foreign.pk]), form(receiver)).status_code == 302
    assert Delivery.objects.count() == 0
    foreign.refresh_from_db()
    assert foreign.name == "STRANGE"


def test_bots_of_others_cant_be_chosen(browser, bot, receiver):
    foreign = make_bot(make_account(make_owner("stranger")), name="STRANGE", symbol="ETHUSDT")
    assert "STRANGE" not in page(browser, ADD)
    assert "bot" in errors_of(browser.post(reverse(ADD), form(receiver, bot=foreign.pk)))
    assert browser.post(reverse(ADD), form(receiver, bot=bot.pk)).status_code == 302


def test_deleting_a_channel_takes_its_secret_along(browser, channel):
    url = reverse("admin:bots_notificationchannel_delete", args=[channel.pk])
    assert browser.post(url, {"post": "yes"}).status_code == 302
    assert (NotificationChannel.objects.count(), ChannelSecret.objects.count()) == (0, 0)
