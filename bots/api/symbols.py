"""Symbols that can be traded, with the age of what is known of them."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bots.api.scoping import StrictQuery
from bots.api.serializers import PlainDecimalField
from marketdata.symbols import cached
from tradebot.binance.sources import source_for
from tradebot.errors import InvalidInput
from tradebot.inputs import shown
from trading.models import ExchangeAccount
from trading.models.fields import Market

CHOICES = {"market": tuple(Market.values), "environment": tuple(ExchangeAccount.Environment.values)}
DEFAULTS = {"market": "spot", "environment": "paper"}


def _size() -> PlainDecimalField:
    return PlainDecimalField(max_digits=40, decimal_places=20, allow_null=True)


class SymbolSerializer(serializers.Serializer):
    """What the exchange allows for one symbol; null where there is no such rule."""

    symbol = serializers.CharField()
    base = serializers.CharField()
    quote = serializers.CharField()
    status = serializers.CharField()
    lot_step = _size()
    min_quantity = _size()
    max_quantity = _size()
    tick = _size()
    min_notional = _size()
    max_notional = _size()


class SymbolsSerializer(serializers.Serializer):
    """The symbols of one market, popular ones first."""

    market = serializers.CharField()
    environment = serializers.CharField()
    refreshed_at = serializers.DateTimeField()
    age_seconds = serializers.FloatField()
    stale = serializers.BooleanField(
        help_text="Whether the last refreshes failed: this is the last good copy."
    )
    next = serializers.CharField(allow_null=True, help_text="Always null: all symbols come at once.")
    results = SymbolSerializer(many=True)


class SymbolsView(StrictQuery, APIView):
    """Symbols of a market that trade now."""

    query_names = tuple(CHOICES)

    @extend_schema(
        operation_id="symbols_list",
        parameters=[
            OpenApiParameter(name, enum=list(choices), default=DEFAULTS[name])
            for name, choices in CHOICES.items()
        ],
        responses=SymbolsSerializer,
    )
    def get(self, request: Request) -> Response:
        """The symbols that trade on an environment's market, and since when that is known."""
        chosen = {name: request.query_params.get(name, default) for name, default in DEFAULTS.items()}
        faults = {
            name: f"{name} must be one of {', '.join(CHOICES[name])}; not {shown(value)}."
            for name, value in chosen.items()
            if value not in CHOICES[name]
        }
        if faults:
            raise InvalidInput(" ".join(faults.values()), next(iter(faults)), faults)
        cache = cached(source_for(chosen["environment"], chosen["market"]))
        document = {
            **chosen,
            "refreshed_at": cache.refreshed_at,
            "age_seconds": round(cache.age_seconds, 3),
            "stale": cache.stale,
            "next": None,
            "results": cache.trading,
        }
        return Response(SymbolsSerializer(document).data)
