"""Orders on the exchange that the journal lacks: list, adopt, cancel."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from bots import reconciling
from bots.actors import sweep_soon
from bots.api.filters import OrphanFilters
from bots.api.parsers import body
from bots.api.scoping import OwnedViewSet, gone_is_404
from bots.api.serializers import OrphanSerializer
from trading.models import Orphan


class OrphanViewSet(OwnedViewSet):
    """Orphans of the visitor's accounts."""

    owner_path = "account__user"
    noun = "orphan"
    serializer_class = OrphanSerializer
    filterset_class = OrphanFilters

    def rows(self) -> QuerySet[Any]:
        """All."""
        return Orphan.objects.select_related("account__user")

    def list(self, request: Request) -> Response:
        """Orphans, the newest first; `open=true` leaves out those that are ended."""
        return self.listed(self.get_queryset())

    def retrieve(self, request: Request, id: int) -> Response:
        """One orphan."""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=OrphanSerializer)
    def adopt(self, request: Request, id: int) -> Response:
        """Make the order its bot's: it becomes a row of the journal, and what it traded is booked."""
        return self._end(request, reconciling.orphan_adopt)

    @extend_schema(request=None, responses=OrphanSerializer)
    def cancel(self, request: Request, id: int) -> Response:
        """Cancel the order at the exchange; what it has traded is booked as not the bot's own doing."""
        return self._end(request, reconciling.orphan_cancel)

    def _end(self, request: Request, act: Any) -> Response:
        orphan = self.get_object()
        body(request, ())
        with gone_is_404("orphan"):
            act(orphan=orphan, by=request.user)
        sweep_soon(orphan.account_id, orphan.market)
        orphan.refresh_from_db()
        return Response(self.get_serializer(orphan).data)
