"""Trades: those of one bot, and those of all bots, deleted ones too."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from bots.api.bots import visible_bots
from bots.api.filters import AllTradeFilters, TradeFilters
from bots.api.scoping import OwnedViewSet, owned
from bots.api.serializers import TradeSerializer
from trading.models import Trade


class OfBotViewSet(OwnedViewSet):
    """What belongs to the bot of the address: that bot is looked up first."""

    noun = "bot"

    def get_object(self) -> Any:
        """The visitor's bot. Raises NotFound."""
        bot = owned(visible_bots(), self.request.user).filter(pk=self.kwargs["id"]).first()
        if bot is None:
            raise NotFound(f"There is no bot {self.kwargs['id']}.")
        return bot


class BotTradeViewSet(OfBotViewSet):
    """Trades of one bot."""

    serializer_class = TradeSerializer
    filterset_class = TradeFilters

    def rows(self) -> QuerySet[Any]:
        """Every trade."""
        return Trade.objects.all()

    def list(self, request: Request, id: int) -> Response:
        """Trades of the bot, the newest first."""
        return self.listed(self.get_queryset().filter(bot_config_id=self.get_object().pk))


class TradeViewSet(OwnedViewSet):
    """Trades of the visitor."""

    serializer_class = TradeSerializer
    filterset_class = AllTradeFilters

    def rows(self) -> QuerySet[Any]:
        """Every trade."""
        return Trade.objects.all()

    def list(self, request: Request) -> Response:
        """Trades of all bots, the newest first."""
        return self.listed(self.get_queryset())
