"""From the outbox to the receivers: who gets what, again until it arrived, one worker at a time."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from django.db import connection
from standardwebhooks.webhooks import Webhook

from bots.models import ChannelSecret, Delivery, NotificationChannel
from bots.notifications import delivery, services
from tests.notifications.conftest import HOOK, OTHER_SECRET, SECRET, make_channel
from tests.support.fake_exchange import hang_up, reply
from tests.support.owners import make_bot, make_owner
from tradebot import clock
from trading import outbox
from trading.models import OutboxMessage


class Clock:
    """A clock that is stepped by hand."""

    def __init__(self) -> None:
        self.now = clock.now()

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Clock:
    return Clock()


def write(owner, event="trade", bot=None, **payload):
    outbox.notify(event=event, user_id=owner.pk, bot_id=bot.pk if bot else None, payload=payload)


def deliver(now, *channels):
    delivery.route(now())
    ids = [channel.pk for channel in channels] or delivery.due_channels(now())
    return sum(delivery.empty_channel(pk, now, jitter=lambda: 0.0) for pk in ids)


def test_a_message_arrives_signed_and_with_its_id(owner, bot, channel, receiver, time):
    write(owner, bot=bot, side="BUY")
    assert deliver(time) == 1
    (seen,) = receiver.requests
    message = OutboxMessage.objects.get()
    assert seen.headers["webhook-id"] == message.message_id
    assert Webhook(SECRET).verify(seen.body, seen.headers) == {
        "type": "trade",
        "timestamp": message.created_at.isoformat().replace("+00:00", "Z"),
        "data": {"side": "BUY"},
    }
    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.delivered_at, row.last_error) == ("delivered", 1, time.now, "")
    channel.refresh_from_db()
    assert (channel.last_result, channel.taken_until) == ("answered 200", None)
    assert deliver(time) == 0
    assert len(receiver.requests) == 1


def test_channels_get_their_owners_events_and_bots_only(owner, bot, receiver, time):
    url = receiver.url + HOOK
    stranger = make_owner("stranger")
    another = make_bot(bot.account, name="second", symbol="ETHUSDT")
    make_channel(owner, url, name="all")
    make_channel(owner, url, name="errors", events=["error"])
    make_channel(owner, url, name="second", events=["trade"], bot=another)
    make_channel(owner, url, name="off", is_active=False)
    make_channel(stranger, url, name="strange")
    write(owner, bot=bot)
    write(owner, bot=another)
    write(owner, event="error", bot=bot)
    write(owner, event="daily_summary")
    delivery.route(time())
    rows = Delivery.objects.order_by("pk").values_list("channel__name", "message__event", "message__bot_id")
    assert set(rows) == {
        ("all", "trade", bot.pk),
        ("all", "trade", another.pk),
        ("all", "error", bot.pk),
        ("all", "daily_summary", None),
        ("errors", "error", bot.pk),
        ("second", "trade", another.pk),
    }
    assert len(rows) == 6


def test_messages_without_a_channel_are_routed_once_and_stay_quiet(owner, time):
    write(owner)
    assert (delivery.route(time()), delivery.route(time())) == (1, 0)
    assert Delivery.objects.count() == 0


def test_a_deactivated_owner_is_told_of_nothing(owner, channel, time):
    owner.is_active = False
    owner.save()
    write(owner)
    delivery.route(time())
    assert Delivery.objects.count() == 0


def test_it_is_tried_again_with_growing_waits_and_the_same_id_and_bytes(owner, channel, receiver, time):
    receiver.on(HOOK, reply(500), reply(500), reply(500), reply(200))
    write(owner)
    waits = []
    for _ in range(3):
        assert deliver(time, channel) == 0
        row = Delivery.objects.get()
        assert (row.state, row.last_error) == ("pending", "answered 500")
        waits.append((row.next_try_at - time.now).total_seconds())
        assert deliver(time, channel) == 0  # not due yet
        time.now = row.next_try_at
    assert deliver(time, channel) == 1
    assert waits == [10, 20, 40]
    assert len({(seen.headers["webhook-id"], seen.body) for seen in receiver.requests}) == 1
    assert len(receiver.requests) == 4


def test_waits_grow_to_an_hour_and_have_jitter():
    assert [delivery.wait_seconds(n, 0) for n in (1, 2, 9, 10, 1000)] == [10, 20, 2560, 3600, 3600]
    assert delivery.wait_seconds(1, 1) == 12


def test_a_receiver_that_was_down_for_a_day_gets_everything(owner, channel, receiver, time):
    receiver.on(HOOK, hang_up)
    for _ in range(3):
        write(owner)
    end = time.now + timedelta(hours=24)
    while time.now < end:
        deliver(time, channel)
        time.now += timedelta(minutes=7)
    tried = len(receiver.requests)
    assert tried < 60  # one attempt a wait, not one a message
    receiver.on(HOOK, reply(200))
    time.now += timedelta(hours=1, minutes=12)
    assert deliver(time, channel) == 3
    assert len(receiver.requests) == tried + 3


def test_after_two_days_it_is_given_up(owner, channel, receiver, time):
    receiver.on(HOOK, reply(500))
    write(owner)
    deliver(time, channel)
    time.now += timedelta(hours=49)
    deliver(time, channel)
    row = Delivery.objects.get()
    assert (row.state, row.attempts) == ("dead", 2)
    assert delivery.backlog(time()) == delivery.Backlog(0, 1, 0.0)


def test_a_receiver_that_is_gone_is_switched_off(owner, channel, receiver, time):
    receiver.on(HOOK, reply(410))
    write(owner)
    deliver(time, channel)
    channel.refresh_from_db()
    assert (channel.is_active, Delivery.objects.get().state) == (False, "dead")


def test_one_silent_channel_holds_up_no_other(owner, receiver, time):
    receiver.on("/dead", hang_up)
    dead = make_channel(owner, receiver.url + "/dead")
    good = make_channel(owner, receiver.url + HOOK)
    for _ in range(3):
        write(owner)
    assert deliver(time) == 3
    assert (len(receiver.to("/dead")), len(receiver.to(HOOK))) == (1, 3)
    assert set(Delivery.objects.filter(channel=good).values_list("state", flat=True)) == {"delivered"}
    dead.refresh_from_db()
    assert (dead.silences, dead.waits_until) == (1, time.now + timedelta(seconds=10))
    assert dead.last_result.startswith("no answer: ")
    assert delivery.due_channels(time()) == []


def test_one_refused_message_holds_up_no_other_of_its_channel(owner, channel, receiver, time):
    receiver.on(HOOK, reply(400), reply(200))
    write(owner)
    write(owner)
    assert deliver(time, channel) == 1
    assert len(receiver.requests) == 2


def test_a_secret_that_cant_be_read_is_told_and_harms_no_other(owner, channel, receiver, time):
    other = make_channel(owner, receiver.url + "/other")
    receiver.on("/other", reply(200))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE bots_channelsecret SET current = %s WHERE channel_id = %s", [b"broken", channel.pk]
        )
    write(owner)
    assert deliver(time, channel, other) == 1
    channel.refresh_from_db()
    assert "can't be decrypted with FERNET_KEYS" in channel.last_result
    assert len(receiver.requests) == 1


def test_during_rotation_both_secrets_sign_and_afterwards_one(owner, channel, receiver, time, monkeypatch):
    services.channel_rotate_secret(channel=channel, by=owner, secret=OTHER_SECRET)
    write(owner)
    deliver(time)
    for secret in (SECRET, OTHER_SECRET):
        Webhook(secret).verify(receiver.requests[0].body, receiver.requests[0].headers)
    ChannelSecret.objects.update(previous_until=clock.now() - timedelta(seconds=1))
    write(owner)
    deliver(time)
    assert receiver.requests[1].headers["webhook-signature"].count("v1,") == 1
    Webhook(OTHER_SECRET).verify(receiver.requests[1].body, receiver.requests[1].headers)


def test_a_dead_workers_channel_is_taken_up_and_its_message_sent_again(
    owner, channel, receiver, time, monkeypatch
):
    write(owner)
    delivery.route(time())

    def killed(*args):
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(delivery, "_note", killed)
        with pytest.raises(SystemExit):
            delivery.empty_channel(channel.pk, time)
    NotificationChannel.objects.update(taken_until=time.now + delivery.TAKEN_FOR)  # as kill -9 leaves it
    assert deliver(time, channel) == 0
    time.now += delivery.TAKEN_FOR
    assert deliver(time, channel) == 1
    assert len({seen.headers["webhook-id"] for seen in receiver.requests}) == 1
    assert len(receiver.requests) == 2  # at least once: the receiver knows it by its id


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_send_each_message_once(django_user_model, receiver, time):
    owner = make_owner("olga")
    for number in range(3):
        make_channel(owner, receiver.url + HOOK, name=f"channel {number}")
    for _ in range(20):
        write(owner)
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait()
        deliver(time)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deliver(time)
    assert len(receiver.requests) == 60
    assert set(Delivery.objects.values_list("state", "attempts")) == {("delivered", 1)}


def test_old_messages_are_removed_but_not_what_is_under_way(owner, channel, receiver, time):
    write(owner)
    deliver(time)
    receiver.on(HOOK, reply(500))
    write(owner)
    deliver(time)
    assert delivery.tidy(time.now) == 0
    assert delivery.tidy(time.now + timedelta(days=31)) == 1
    assert Delivery.objects.get().state == "pending"


def test_the_backlog_is_counted(owner, channel, time):
    write(owner)
    assert delivery.backlog(time()).pending == 1
    delivery.route(time())
    found = delivery.backlog(time() + timedelta(seconds=90))
    assert (found.pending, found.dead) == (1, 0)
    assert 89 <= found.oldest_seconds <= 91
