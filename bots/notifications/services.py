"""What owners do with channels, for admin and API: make, change, rotate the secret, delete, test.

Services send nothing: the caller enqueues deliver_notifications after the commit (bots.actors).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets as randomness
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.fernet import InvalidToken
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from bots.models import BotConfig
from bots.notifications.models import ChannelSecret, Delivery, NotificationChannel
from tradebot import webhooks
from tradebot.clock import now
from tradebot.errors import InvalidInput, KeyDecryptFailed, Refused
from tradebot.inputs import clean_name, parse_flag, shown
from tradebot.secrets import Secret
from trading.models import OutboxMessage

EVENTS = ("trade", "error", "paused", "limit", "daily_summary")
PER_BOT_EVENTS = ("trade", "error", "paused", "limit")
KINDS = tuple(NotificationChannel.Kind.values)
MOST_CHANNELS = 20  # of one owner
TESTS_WAITING = 5  # tests of a channel that may be on their way
ROTATION = timedelta(hours=24)  # how long messages are signed with the old secret, too
SECRET_PREFIX = "whsec_"  # noqa: S105 -- the form's prefix
SECRET_BYTES = (24, 64)
_SECRET_FORM = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class Made:
    """A channel, and its signing secret where TradeBot has just made one: shown once, then never again."""

    channel: NotificationChannel
    secret: Secret | None = None


def channel_create(
    *,
    user: Any,
    name: str,
    kind: str,
    target: str,
    events: Iterable[str],
    bot: BotConfig | None = None,
    is_active: bool = True,
    secret: str = "",
) -> Made:
    """A new channel of `user`. A webhook without `secret` gets a random one, which `Made` holds.

    Looks the webhook's host up: call it outside of transactions. Raises InvalidInput that names the field.
    """
    values = channel_check(
        user=user, name=name, kind=kind, target=target, events=events, bot=bot, is_active=is_active
    )
    given = checked_secret(kind, secret)
    made = given if kind == "webhook" and given else Secret(new_secret()) if kind == "webhook" else None
    with transaction.atomic():
        if NotificationChannel.objects.filter(user=user).count() >= MOST_CHANNELS:
            raise InvalidInput(f"You have {MOST_CHANNELS} channels already; delete one first.")
        channel = _save(NotificationChannel(user=user, **values))
        if made is not None:
            _store_secret(channel, made)
    return Made(channel, None if given else made)


def channel_change(
    *,
    channel: NotificationChannel,
    by: Any,
    name: str,
    target: str,
    events: Iterable[str],
    bot: BotConfig | None,
    is_active: bool,
) -> NotificationChannel:
    """The channel with other values; its kind and secret stay. Raises InvalidInput that names the field."""
    with transaction.atomic():
        channel = _own(channel, by, for_update=True)
        return _change(channel, name, target, events, bot, is_active)


def _change(
    channel: NotificationChannel,
    name: str,
    target: str,
    events: Iterable[str],
    bot: BotConfig | None,
    is_active: bool,
) -> NotificationChannel:
    values = channel_check(
        user=channel.user,
        name=name,
        kind=channel.kind,
        target=target,
        events=events,
        bot=bot,
        is_active=is_active,
        channel=channel,
    )
    if values["target"] != channel.target:
        channel.waits_until, channel.silences = None, 0
    for field, value in values.items():
        setattr(channel, field, value)
    return _save(channel, [*values, "waits_until", "silences"])


def channel_rotate_secret(*, channel: NotificationChannel, by: Any, secret: str = "") -> Made:
    """Sign with another secret; for 24 h messages carry a signature by the old one, too.

    Works when the old one can't be decrypted any more. Raises InvalidInput.
    """
    channel = _own(channel, by)
    if channel.kind != "webhook":
        raise InvalidInput("Only webhooks are signed; this channel has no secret.", "secret")
    given = checked_secret(channel.kind, secret)
    made = given or Secret(new_secret())
    with transaction.atomic():
        try:
            old = read_secrets(channel)[:1]
        except KeyDecryptFailed:
            old = []
        if old == [made]:
            raise InvalidInput("This is the present secret already; enter another one.", "secret")
        _store_secret(channel, made, old[0] if old else None)
    return Made(channel, None if given else made)


def channel_delete(*, channel: NotificationChannel, by: Any) -> None:
    """Delete the channel with its deliveries. Raises InvalidInput for somebody else's."""
    _own(channel, by).delete()


def channel_test(*, channel: NotificationChannel, by: Any) -> Delivery:
    """A test message to this channel alone, active or not; it waits for no earlier silence.

    Raises Refused when some are on their way already.
    """
    channel = _own(channel, by)
    with transaction.atomic():
        waiting = channel.deliveries.filter(state="pending", message__event=OutboxMessage.Event.TEST)
        if waiting.count() >= TESTS_WAITING:
            raise Refused(f"{TESTS_WAITING} tests of channel {channel.name} are on their way already.")
        moment = now()
        message = OutboxMessage.objects.create(
            user=channel.user,
            event=OutboxMessage.Event.TEST,
            payload={"channel": channel.name, "text": "This is a test of TradeBot's notifications."},
            created_at=moment,
            routed_at=moment,
        )
        NotificationChannel.objects.filter(pk=channel.pk).update(waits_until=None)
        return Delivery.objects.create(
            message=message, channel=channel, next_try_at=moment, created_at=moment
        )


def channel_check(
    *,
    user: Any,
    name: str,
    kind: str,
    target: str,
    events: Iterable[str],
    bot: BotConfig | None,
    is_active: bool,
    channel: NotificationChannel | None = None,
) -> dict[str, Any]:
    """The cleaned values, if `user` can have such a channel. Stores nothing. Raises InvalidInput."""
    if kind not in KINDS:
        raise InvalidInput(f"Kind must be one of {', '.join(KINDS)}; not {shown(kind)}.", "kind")
    try:
        cleaned = clean_name(name)
    except InvalidInput as error:
        raise InvalidInput(f"Name {error}", "name") from None
    others = NotificationChannel.objects.filter(user=user, name=cleaned)
    if others.exclude(pk=channel.pk if channel else 0).exists():
        raise _name_taken(cleaned)
    if bot is not None and (bot.user_id != user.pk or bot.deleted_at is not None):
        raise InvalidInput("There is no such bot; choose one of your own.", "bot")
    try:
        active = parse_flag(is_active)
    except InvalidInput as error:
        raise InvalidInput(f"Active {error}", "is_active") from None
    return {
        "name": cleaned,
        "kind": kind,
        "events": _checked_events(events, bot),
        "bot": bot,
        "is_active": active,
        # an address that stays is not looked up again: its host may be gone, and the channel paused for that
        "target": target if channel and target == channel.target else _checked_target(kind, target),
    }


def read_secrets(channel: NotificationChannel) -> list[Secret]:
    """What messages are signed with now: the present secret first. Raises KeyDecryptFailed."""
    try:
        row = ChannelSecret.objects.get(channel=channel)
    except ChannelSecret.DoesNotExist:
        raise KeyDecryptFailed(f"Channel {channel.name} has no signing secret; enter one.") from None
    except (InvalidToken, UnicodeDecodeError):
        raise _unreadable(channel) from None
    found = [_unbind(channel, row.current)]
    if row.previous and row.previous_until is not None and row.previous_until > now():
        found.append(_unbind(channel, row.previous))
    return found


def new_secret() -> str:
    """A random signing secret in the form of Standard Webhooks: whsec_ and 32 bytes in base64."""
    return SECRET_PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


def _checked_events(events: Iterable[str], bot: BotConfig | None) -> list[str]:
    wanted = list(events) if isinstance(events, list | tuple | set | frozenset) else [str(events)]
    unknown = [event for event in wanted if event not in EVENTS]
    if unknown:
        raise InvalidInput(f"Events must be some of {', '.join(EVENTS)}; not {shown(unknown[0])}.", "events")
    if not wanted:
        raise InvalidInput(f"Events must be at least one of {', '.join(EVENTS)}.", "events")
    if bot is not None and "daily_summary" in wanted:
        raise InvalidInput("The daily summary is about all bots; leave the bot empty for it.", "events")
    return [event for event in EVENTS if event in wanted]


def _checked_target(kind: str, target: object) -> str:
    if not isinstance(target, str):
        raise InvalidInput(f"The address must be a text; not {shown(target)}.", "target")
    target = target.strip()
    if kind == "webhook":
        webhooks.check(target)
        return target
    try:
        validate_email(target)
    except ValidationError:
        raise InvalidInput(
            f"The address must be an e-mail address like olga@example.com; not {shown(target)}.", "target"
        ) from None
    if len(target) > 254:
        raise InvalidInput("The e-mail address must have at most 254 characters.", "target")
    return target


def checked_secret(kind: str, secret: object) -> Secret | None:
    """The secret that was entered, None where none was. InvalidInput never repeats it."""
    if secret in ("", None):
        return None
    if kind != "webhook":
        raise InvalidInput("Only webhooks are signed; leave the secret empty.", "secret")
    sentence = (
        "The secret must be whsec_ and 24 to 64 random bytes in base64; leave it empty to have one made."
    )
    if not isinstance(secret, str) or not secret.startswith(SECRET_PREFIX):
        raise InvalidInput(sentence, "secret")
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        raw = base64.b64decode(text, validate=True) if _SECRET_FORM.fullmatch(text) else b""
    except binascii.Error:
        raw = b""
    if not SECRET_BYTES[0] <= len(raw) <= SECRET_BYTES[1]:
        raise InvalidInput(sentence, "secret")
    return Secret(secret)


def _store_secret(channel: NotificationChannel, secret: Secret, old: Secret | None = None) -> None:
    row_id = ChannelSecret.objects.filter(channel=channel).values_list("pk", flat=True).first()
    ChannelSecret(
        pk=row_id,
        channel=channel,
        current=_bind(channel, secret),
        previous=_bind(channel, old) if old else "",
        previous_until=now() + ROTATION if old else None,
    ).save()


def _bind(channel: NotificationChannel, secret: Secret) -> str:
    """What is encrypted: the secret with its channel, so that a ciphertext moved elsewhere is refused."""
    return json.dumps({"channel": channel.pk, "value": secret.reveal()})


def _unbind(channel: NotificationChannel, plain: str) -> Secret:
    try:
        bound = json.loads(plain)
        if bound["channel"] == channel.pk:
            return Secret(bound["value"])
    except (ValueError, KeyError, TypeError):
        pass
    raise _unreadable(channel)


def _unreadable(channel: NotificationChannel) -> KeyDecryptFailed:
    return KeyDecryptFailed(
        f"The signing secret of channel {channel.name} can't be decrypted with FERNET_KEYS; restore the key "
        "that encrypted it, or enter another secret."
    )


def _own(channel: NotificationChannel, by: Any, *, for_update: bool = False) -> NotificationChannel:
    rows = NotificationChannel.objects.select_related("user", "bot")
    if for_update:
        rows = rows.select_for_update(no_key=True, of=("self",))
    fresh = rows.filter(pk=channel.pk).first()
    if fresh is None or not (by.is_superuser or fresh.user_id == by.pk):
        raise _no_such_channel()
    return fresh


def _no_such_channel() -> InvalidInput:
    return InvalidInput("There is no such channel; look at the list of your channels.", "channel")


def _name_taken(name: str) -> InvalidInput:
    return InvalidInput(f"There is a channel named {shown(name)} already; choose another name.", "name")


def _save(channel: NotificationChannel, fields: list[str] | None = None) -> NotificationChannel:
    try:
        with transaction.atomic():
            channel.save(update_fields=fields)
    except IntegrityError:
        raise _name_taken(channel.name) from None
    return channel
