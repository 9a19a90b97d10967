"""Notification channels and what became of each message; a secret is answered once, when it is made."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from bots.actors import deliver_soon
from bots.api.bots import visible_bots
from bots.api.filters import ChannelFilters, DeliveryFilters
from bots.api.parsers import body, row_number
from bots.api.scoping import OwnedViewSet, gone_is_404, owned
from bots.api.serializers import (
    ChannelChangeSerializer,
    ChannelMadeSerializer,
    ChannelSerializer,
    ChannelSettingsSerializer,
    DeliverySerializer,
    SecretSerializer,
)
from bots.models import BotConfig
from bots.notifications import services
from bots.notifications.models import Delivery, NotificationChannel
from tradebot.errors import InvalidInput
from tradebot.inputs import shown

CHANGEABLE = ("name", "target", "events", "bot", "is_active")
SETTINGS = ("kind", *CHANGEABLE, "secret")
NEEDED = ("name", "kind", "target", "events")
READ_ONLY = (*ChannelSerializer().fields, "owner")
NO_STORE = {"Cache-Control": "no-store"}


@extend_schema_view(
    create=extend_schema(request=ChannelSettingsSerializer, responses={201: ChannelMadeSerializer}),
    partial_update=extend_schema(request=ChannelChangeSerializer(partial=True), responses=ChannelSerializer),
    destroy=extend_schema(responses={204: None}),
)
class ChannelViewSet(OwnedViewSet):
    """Channels of the visitor."""

    noun = "channel"
    serializer_class = ChannelSerializer
    filterset_class = ChannelFilters

    def rows(self) -> QuerySet[Any]:
        """All; no secret is read."""
        return NotificationChannel.objects.select_related("user", "bot")

    def list(self, request: Request) -> Response:
        """Channels, by default in the order in which they were made."""
        return self.listed(self.get_queryset())

    def create(self, request: Request) -> Response:
        """A new channel. A webhook without secret gets one, which is answered here and never again."""
        values = self._values(SETTINGS)
        missing = {name: f"{name} is missing." for name in NEEDED if name not in values}
        if missing:
            raise InvalidInput(" ".join(missing.values()), next(iter(missing)), missing)
        bot = values.get("bot")
        made = services.channel_create(user=bot.user if bot else request.user, **values)
        where = reverse("channel", [made.channel.pk], request=request)
        return self._once(made, status.HTTP_201_CREATED, {"Location": where})

    def retrieve(self, request: Request, id: int) -> Response:
        """One channel."""
        return Response(ChannelSerializer(self.get_object()).data)

    def partial_update(self, request: Request, id: int) -> Response:
        """Change what is sent. The kind never changes, and the secret only by rotate/."""
        channel = self.get_object()
        values = {name: getattr(channel, name) for name in CHANGEABLE} | self._values(CHANGEABLE)
        with gone_is_404("channel"):
            changed = services.channel_change(channel=channel, by=request.user, **values)
        return Response(ChannelSerializer(changed).data)

    def destroy(self, request: Request, id: int) -> Response:
        """Delete the channel with its deliveries."""
        with gone_is_404("channel"):
            services.channel_delete(channel=self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="notifications_channels_test", request=None, responses={202: DeliverySerializer}
    )
    def test(self, request: Request, id: int) -> Response:
        """Send a test message to this channel alone, active or not."""
        channel = self.get_object()
        body(request, ())
        with gone_is_404("channel"), transaction.atomic():
            delivery = services.channel_test(channel=channel, by=request.user)
            transaction.on_commit(deliver_soon, robust=True)
        where = reverse("delivery", [delivery.pk], request=request)
        answer = DeliverySerializer(delivery).data
        return Response(answer, status=status.HTTP_202_ACCEPTED, headers={"Location": where})

    @extend_schema(
        operation_id="notifications_channels_rotate",
        request=SecretSerializer,
        responses=ChannelMadeSerializer,
    )
    def rotate(self, request: Request, id: int) -> Response:
        """Sign with another secret, for 24 hours with the old one, too. One made here is answered once."""
        channel = self.get_object()
        secret = body(request, ("secret",)).get("secret", "")
        with gone_is_404("channel"):
            made = services.channel_rotate_secret(channel=channel, by=request.user, secret=secret)
        return self._once(made, status.HTTP_200_OK, {})

    def _values(self, writable: tuple[str, ...]) -> dict[str, Any]:
        """The settings that were sent, with the bot looked up. Raises InvalidInput."""
        values = body(self.request, writable, READ_ONLY)
        if "events" in values and not isinstance(values["events"], list):
            raise InvalidInput(
                f"Events must be a list of some of {', '.join(services.EVENTS)}; "
                f"not {shown(values['events'])}.",
                "events",
            )
        if values.get("bot") is not None:
            values["bot"] = self._bot(values["bot"])
        return values

    def _bot(self, value: object) -> BotConfig:
        number = row_number(value)
        bot = owned(visible_bots(), self.request.user).filter(pk=number).first() if number else None
        if bot is None:
            raise InvalidInput("There is no such bot; choose one of your own.", "bot")
        return bot

    def _once(self, made: services.Made, code: int, headers: dict[str, str]) -> Response:
        """The channel with the secret that was just made, if one was."""
        secret = made.secret.reveal() if made.secret else None
        answer = ChannelMadeSerializer(made.channel).data | {"secret": secret}
        return Response(answer, status=code, headers=NO_STORE | headers)


class DeliveryViewSet(OwnedViewSet):
    """Messages to the visitor's channels."""

    noun = "delivery"
    owner_path = "channel__user"
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilters

    def rows(self) -> QuerySet[Any]:
        """All of the last 30 days."""
        return Delivery.objects.select_related("message")

    def list(self, request: Request) -> Response:
        """Deliveries, the newest first."""
        return self.listed(self.get_queryset())

    def retrieve(self, request: Request, id: int) -> Response:
        """One delivery."""
        return Response(DeliverySerializer(self.get_object()).data)
