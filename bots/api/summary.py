"""All of a visitor's bots in one answer: equity, PnL, open positions, statuses, and the last look."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bots.api.scoping import StrictQuery
from bots.api.serializers import PlainDecimalField
from bots.summary import summarise
from tradebot.errors import InvalidInput
from tradebot.inputs import shown
from trading.models import ExchangeAccount

ENVIRONMENTS = tuple(ExchangeAccount.Environment.values)


def _money(help_text: str = "", *, allow_null: bool = False) -> PlainDecimalField:
    return PlainDecimalField(max_digits=60, decimal_places=40, allow_null=allow_null, help_text=help_text)


class PositionSerializer(serializers.Serializer):
    """An open position; null where no price is known."""

    bot = serializers.IntegerField()
    name = serializers.CharField()
    account = serializers.IntegerField()
    market = serializers.CharField()
    symbol = serializers.CharField()
    position_type = serializers.CharField()
    current_position_size_coins = _money()
    entry_price = _money(allow_null=True)
    price = _money(allow_null=True)
    unrealized_pnl = _money(allow_null=True)


class ScreenSerializer(serializers.Serializer):
    """When bots were last looked at."""

    slot = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class SummarySerializer(serializers.Serializer):
    """Money is in USDT. Unrealised PnL is at the last known prices and before fees."""

    equity = _money(
        "Free money of the accounts, and what is open; null when it is not known.", allow_null=True
    )
    pnl_today = _money("Realised in this UTC day.")
    pnl_total = _money("Realised in all, by deleted bots too.")
    unrealized_pnl = _money("Of open positions with a known price.")
    open_positions = PositionSerializer(many=True)
    bots = serializers.DictField(child=serializers.IntegerField(), help_text="How many, by status.")
    active_bots = serializers.IntegerField()
    last_screen = ScreenSerializer(allow_null=True)


class SummaryView(StrictQuery, APIView):
    """The summary."""

    query_names = ("environment",)

    @extend_schema(
        operation_id="summary",
        parameters=[
            OpenApiParameter("environment", enum=list(ENVIRONMENTS), description="Only accounts of this one.")
        ],
        responses=SummarySerializer,
    )
    def get(self, request: Request) -> Response:
        """What the visitor's bots have and did."""
        environment = request.query_params.get("environment")
        if environment is not None and environment not in ENVIRONMENTS:
            raise InvalidInput(
                f"environment must be one of {', '.join(ENVIRONMENTS)}; not {shown(environment)}.",
                "environment",
            )
        return Response(SummarySerializer(summarise(request.user, environment)).data)
