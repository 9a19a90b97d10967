"""Kill switches: those of the visitor's bots; a superuser's are all."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from bots import services_kill
from bots.actors import carry_out_kill_switch, deliver_soon, wake_bots
from bots.api.filters import KillSwitchFilters
from bots.api.parsers import body
from bots.api.scoping import OwnedViewSet, gone_is_404
from bots.api.serializers import (
    KillSwitchLiftSerializer,
    KillSwitchSerializer,
    KillSwitchSettingsSerializer,
)
from bots.kill_check import FIELDS
from tradebot.clock import now
from trading.models import KillSwitch

WAIT_SECONDS = 1.0  # a request waits no longer for entries on their way; an actor does
READ_ONLY = (*KillSwitchSerializer().fields, "owner")


@extend_schema_view(
    create=extend_schema(
        request=KillSwitchSettingsSerializer,
        responses={201: KillSwitchSerializer},
    ),
)
class KillSwitchViewSet(OwnedViewSet):
    """Kill switches of the visitor."""

    noun = "kill switch"
    serializer_class = KillSwitchSerializer
    filterset_class = KillSwitchFilters

    def rows(self) -> QuerySet[Any]:
        """All, lifted ones too."""
        return KillSwitch.objects.all()

    def list(self, request: Request) -> Response:
        """Kill switches, the newest first."""
        return self.listed(self.get_queryset())

    def create(self, request: Request) -> Response:
        """Stop entries at once. For a scope that has a switch already, its level is raised if need be.

        `drained_at` says from when on no entry of these bots is on its way; while it is null, ask again.
        """
        values = body(request, FIELDS, READ_ONLY)
        switch = services_kill.switch_on(
            by=request.user, values=values, wake=wake_bots, wait_seconds=WAIT_SECONDS
        )
        transaction.on_commit(deliver_soon, robust=True)
        if switch.drained_at is None:
            transaction.on_commit(partial(carry_out_kill_switch.send, switch.pk), robust=True)
        where = reverse("kill-switch", [switch.pk], request=request)
        return Response(self._shown(switch), status=status.HTTP_201_CREATED, headers={"Location": where})

    def retrieve(self, request: Request, id: int) -> Response:
        """One kill switch."""
        return Response(self._shown(self.get_object()))

    @extend_schema(
        operation_id="kill_switches_lift", request=KillSwitchLiftSerializer, responses=KillSwitchSerializer
    )
    def lift(self, request: Request, id: int) -> Response:
        """End it: its bots may enter again by the signals that come. Refused for an operator's switch."""
        switch = self.get_object()
        reason = body(request, ("reason",)).get("reason", "")
        with gone_is_404("kill switch"):
            lifted = services_kill.lift(switch=switch, by=request.user, reason=reason, now=now())
        transaction.on_commit(deliver_soon, robust=True)
        return Response(self._shown(lifted))

    def _shown(self, switch: KillSwitch) -> dict[str, Any]:
        answer: dict[str, Any] = KillSwitchSerializer(switch).data
        return answer
