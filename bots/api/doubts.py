"""Requests whose outcome is not known: list them, and end those that wait for a person."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from bots import doubts
from bots.actors import wake_bot
from bots.api.filters import DoubtFilters
from bots.api.parsers import body
from bots.api.scoping import OwnedViewSet, gone_is_404
from bots.api.serializers import DoubtSerializer, ResolveSerializer
from trading.models import OrderRequest
from trading.models.journal import DOUBT_STATES

RIGHT = "trading.resolve_orderrequest"


class DoubtViewSet(OwnedViewSet):
    """Doubts of the visitor's accounts; one that has ended can still be read by its number."""

    owner_path = "account__user"
    noun = "doubt"
    serializer_class = DoubtSerializer
    filterset_class = DoubtFilters

    def rows(self) -> QuerySet[Any]:
        """Every request."""
        return OrderRequest.objects.select_related("account__user", "bot")

    def list(self, request: Request) -> Response:
        """Requests whose outcome is open, the newest first."""
        return self.listed(self.get_queryset().filter(state__in=DOUBT_STATES))

    def retrieve(self, request: Request, id: int) -> Response:
        """One request."""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=ResolveSerializer, responses=DoubtSerializer)
    def resolve(self, request: Request, id: int) -> Response:
        """End a quarantined request. The exchange is asked once more; refused where that contradicts."""
        row = self.get_object()
        values = body(request, ("outcome", "reason"))
        user: Any = request.user
        if user.is_staff and not user.has_perm(RIGHT):
            raise PermissionDenied("You may not resolve requests; ask an administrator for the right.")
        with gone_is_404("doubt"):
            row, entry = doubts.doubt_resolve(
                request=row, outcome=values.get("outcome", ""), reason=values.get("reason", ""), by=user
            )
        transaction.on_commit(partial(wake_bot, row.bot_id, entry.pk), robust=True)
        return Response(self.get_serializer(row).data)
