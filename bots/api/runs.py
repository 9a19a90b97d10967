"""Runs of a bot, and one run, or one entry of an inbox, by its id."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from bots.api.filters import RunFilters
from bots.api.scoping import OwnedViewSet, owned
from bots.api.serializers import InboxSerializer, RunSerializer
from bots.api.trades import OfBotViewSet
from bots.models import BotInbox, BotRun

INBOX = "inbox-"


class BotRunViewSet(OfBotViewSet):
    """Runs of one bot. A look that wanted nothing leaves none."""

    owner_path = "bot__user"
    serializer_class = RunSerializer
    filterset_class = RunFilters

    def rows(self) -> QuerySet[Any]:
        """Every run."""
        return BotRun.objects.all()

    def list(self, request: Request, id: int) -> Response:
        """Runs of the bot, the newest first."""
        return self.listed(self.get_queryset().filter(bot_id=self.get_object().pk))


class RunViewSet(OwnedViewSet):
    """One run, by its number or by the id that a 202 answered (inbox-12)."""

    owner_path = "bot__user"
    noun = "run"
    serializer_class = RunSerializer

    def rows(self) -> QuerySet[Any]:
        """Every run."""
        return BotRun.objects.all()

    def get_object(self) -> Any:
        """The run, or the inbox entry. Raises NotFound."""
        run_id = self.kwargs["id"]
        rows: QuerySet[Any] = self.rows()
        if run_id.startswith(INBOX):
            rows = BotInbox.objects.all()
        found = owned(rows, self.request.user, self.owner_path).filter(pk=int(run_id.removeprefix(INBOX)))
        row = found.first()
        if row is None:
            raise NotFound(f"There is no run {run_id}.")
        return row

    @extend_schema(responses=PolymorphicProxySerializer("RunOrInbox", [RunSerializer, InboxSerializer], None))
    def retrieve(self, request: Request, id: str) -> Response:
        """A run, or what was asked of a bot and what came of it (`handled_at`, `result`)."""
        row = self.get_object()
        serializer = InboxSerializer if isinstance(row, BotInbox) else RunSerializer
        return Response(serializer(row, context=self.get_serializer_context()).data)
