"""Channels: what may be stored, by whom, and what is never shown."""

from __future__ import annotations

import json

import pytest

from bots.models import ChannelSecret, Delivery, NotificationChannel
from bots.notifications import services
from tests.notifications.conftest import HOOK, OTHER_SECRET, SECRET, make_channel
from tests.support.fake_exchange import hang_up
from tests.support.owners import make_account, make_bot, make_owner, row_counts
from tradebot.errors import InvalidInput, Refused

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 5}, "name"),
        ({"kind": "sms"}, "kind"),
        ({"kind": None}, "kind"),
        ({"events": []}, "events"),
        ({"events": ["trade", "test"]}, "events"),
        ({"events": "trade"}, None),
        ({"events": [["trade"]]}, "events"),
        ({"is_active": "yes"}, "is_active"),
        ({"target": "https://127.0.0.1/"}, "target"),
        ({"target": None}, "target"),
        ({"target": 5}, "target"),
        ({"target": "file:///etc/passwd"}, "target"),
        ({"kind": "email", "target": "nobody", "secret": ""}, "target"),
        ({"kind": "email", "target": "a@b.example\nBcc: c@d.example", "secret": ""}, "target"),
        ({"kind": "email", "target": "a@b.example"}, "secret"),
        ({"secret": "hunter2"}, "secret"),
        ({"secret": "whsec_AAAA"}, "secret"),
        ({"secret": "whsec_" + "A" * 400}, "secret"),
        ({"secret": "whsec_ümläut"}, "secret"),
    ],
)
def test_bad_input_names_its_field_and_stores_nothing(owner, receiver, changes, field):
    values = {
        "name": "main",
        "kind": "webhook",
        "target": receiver.url + HOOK,
        "events": ["trade"],
        "secret": SECRET,
    } | changes
    before = row_counts()
    if field is None:
        services.channel_create(user=owner, **values)
        return
    with pytest.raises(InvalidInput) as caught:
        services.channel_create(user=owner, **values)
    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)
    assert row_counts() == before


def test_a_made_secret_is_given_once_and_stored_encrypted(owner, receiver):
    made = services.channel_create(
        user=owner, name="main", kind="webhook", target=receiver.url + HOOK, events=["trade"]
    )
    assert made.secret is not None
    assert made.secret.reveal().startswith("whsec_")
    assert "***" in repr(made)
    assert services.read_secrets(made.channel) == [made.secret]
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT current FROM bots_channelsecret")
        stored = bytes(cursor.fetchone()[0])
    assert made.secret.reveal().encode() not in stored


def test_a_given_secret_is_not_given_back(owner, receiver):
    made = services.channel_create(
        user=owner, name="a", kind="webhook", target=receiver.url + HOOK, events=["trade"], secret=SECRET
    )
    assert made.secret is None


def test_an_e_mail_channel_has_no_secret(owner):
    made = services.channel_create(
        user=owner, name="mail", kind="email", target=" olga@example.com ", events=["trade", "error"]
    )
    assert (made.secret, made.channel.target, ChannelSecret.objects.count()) == (None, "olga@example.com", 0)
    with pytest.raises(InvalidInput, match="no secret"):
        services.channel_rotate_secret(channel=made.channel, by=owner)


def test_a_ciphertext_of_another_channel_is_refused(owner, receiver, channel):
    other = make_channel(owner, receiver.url + HOOK, secret=OTHER_SECRET)
    ChannelSecret.objects.filter(channel=channel).update(
        current=ChannelSecret.objects.get(channel=other).current
    )
    from tradebot.errors import KeyDecryptFailed

    with pytest.raises(KeyDecryptFailed, match="can't be decrypted"):
        services.read_secrets(channel)


def test_names_are_unique_for_an_owner(owner, receiver, channel):
    with pytest.raises(InvalidInput, match="There is a channel named"):
        make_channel(owner, receiver.url + HOOK, name=channel.name)
    make_channel(make_owner("stranger"), receiver.url + HOOK, name=channel.name)


def test_a_channel_for_one_bot_gets_no_daily_summary(owner, bot, receiver):
    with pytest.raises(InvalidInput, match="daily summary is about all bots"):
        make_channel(owner, receiver.url + HOOK, bot=bot)


def test_bots_of_others_cant_be_listened_to(owner, bot, receiver):
    stranger = make_owner("stranger")
    with pytest.raises(InvalidInput, match="There is no such bot"):
        make_channel(stranger, receiver.url + HOOK, bot=bot, events=["trade"])
    foreign = make_bot(make_account(stranger), name="strange", symbol="ETHUSDT")
    make_channel(stranger, receiver.url + HOOK, bot=foreign, events=["trade"])


def test_others_can_do_nothing_with_a_channel(channel):
    stranger = make_owner("stranger")
    values = {"name": "mine", "target": channel.target, "events": ["trade"], "bot": None, "is_active": True}
    for call in (
        lambda: services.channel_change(channel=channel, by=stranger, **values),
        lambda: services.channel_rotate_secret(channel=channel, by=stranger),
        lambda: services.channel_test(channel=channel, by=stranger),
        lambda: services.channel_delete(channel=channel, by=stranger),
    ):
        with pytest.raises(InvalidInput, match="There is no such channel"):
            call()
    assert NotificationChannel.objects.get().name == channel.name
    assert Delivery.objects.count() == 0


def test_a_change_to_a_private_address_is_refused(owner, channel):
    values = {"name": "main", "events": ["trade"], "bot": None, "is_active": True}
    with pytest.raises(InvalidInput):
        services.channel_change(channel=channel, by=owner, target="https://10.0.0.1/", **values)
    assert NotificationChannel.objects.get().target == channel.target


def test_a_channel_whose_host_is_gone_can_still_be_paused(owner, channel, monkeypatch):
    def refuse(target):
        raise InvalidInput("nothing is there", "target")

    monkeypatch.setattr(services, "_checked_target", lambda kind, target: refuse(target))
    values = {"name": "main", "events": ["trade"], "bot": None, "is_active": False}
    services.channel_change(channel=channel, by=owner, target=channel.target, **values)
    assert NotificationChannel.objects.get().is_active is False
    with pytest.raises(InvalidInput, match="nothing is there"):
        services.channel_change(channel=channel, by=owner, target="https://other.example/", **values)


def test_a_test_goes_to_its_channel_alone_and_not_too_often(owner, channel, receiver):
    receiver.on(HOOK, hang_up)
    make_channel(owner, receiver.url + HOOK)
    for _ in range(services.TESTS_WAITING):
        services.channel_test(channel=channel, by=owner)
    with pytest.raises(Refused, match="on their way already"):
        services.channel_test(channel=channel, by=owner)
    assert set(Delivery.objects.values_list("channel_id", "message__event")) == {(channel.pk, "test")}


def test_an_owner_has_a_bounded_number_of_channels(owner, receiver, monkeypatch):
    monkeypatch.setattr(services, "MOST_CHANNELS", 2)
    for _ in range(2):
        make_channel(owner, receiver.url + HOOK)
    with pytest.raises(InvalidInput, match="2 channels already"):
        make_channel(owner, receiver.url + HOOK)


def test_what_is_encrypted_says_where_it_belongs(channel):
    assert json.loads(ChannelSecret.objects.get().current)["channel"] == channel.pk
