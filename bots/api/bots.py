"""Bots: list, create, read, change, delete; start, pause, stop, close and run them; where each stands."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from bots import doubts, services
from bots.actors import wake_bot
from bots.api.filters import BotFilters
from bots.api.parsers import body, row_number
from bots.api.scoping import OwnedViewSet, gone_is_404, owned
from bots.api.serializers import (
    BotSerializer,
    BotSettingsSerializer,
    BotStateSerializer,
    ClearHoldSerializer,
    InboxSerializer,
)
from bots.models import BotConfig
from bots.outlook import state_of
from bots.validation import FIELDS, defaults
from tradebot.errors import InvalidInput
from trading.models import ExchangeAccount

SETTINGS = ("account", *FIELDS)
READ_ONLY = (*BotSerializer().fields, "owner", "state", "realized_pnl")
NO_ACCOUNT = "There is no such account; choose one of your own."


def visible_bots() -> QuerySet[BotConfig]:
    """All bots that are not deleted, with what a list shows of each."""
    return BotConfig.objects.filter(deleted_at__isnull=True).select_related("account", "state", "user")


def _asks(name: str) -> Any:
    return extend_schema(operation_id=f"bots_{name}", request=None, responses={202: InboxSerializer})


@extend_schema_view(
    create=extend_schema(request=BotSettingsSerializer, responses={201: BotSerializer}),
    update=extend_schema(request=BotSettingsSerializer, responses=BotSerializer),
    partial_update=extend_schema(request=BotSettingsSerializer(partial=True), responses=BotSerializer),
    destroy=extend_schema(responses={204: None}),
)
class BotViewSet(OwnedViewSet):
    """Bots of the visitor."""

    noun = "bot"
    serializer_class = BotSerializer
    filterset_class = BotFilters

    def rows(self) -> QuerySet[Any]:
        """All but the deleted."""
        return visible_bots()

    def list(self, request: Request) -> Response:
        """Bots, by default in the order in which they were made."""
        return self.listed(self.get_queryset())

    def create(self, request: Request) -> Response:
        """A new bot, paused. What is left out has its default."""
        values = _values(request)
        account = self._account(values.pop("account", None))
        user = account.user if account else request.user
        bot = services.bot_create(user=user, account=account, values=values)
        where = reverse("bot", [bot.pk], request=request)
        return Response(self._shown(bot), status=status.HTTP_201_CREATED, headers={"Location": where})

    def retrieve(self, request: Request, id: int) -> Response:
        """One bot."""
        return Response(self._shown(self.get_object()))

    def update(self, request: Request, id: int) -> Response:
        """Set all settings of the bot; what is left out gets its default. Counts from the next look on."""
        bot = self.get_object()
        values = _values(request)
        missing = {
            name: f"{name.capitalize()} is missing; PATCH changes single settings."
            for name in ("name", "symbol", "account")
            if name not in values
        }
        if missing:
            raise InvalidInput(" ".join(missing.values()), next(iter(missing)), missing)
        return self._change(bot, defaults() | values)

    def partial_update(self, request: Request, id: int) -> Response:
        """Change the settings that are sent. They count from the bot's next look on."""
        return self._change(self.get_object(), _values(request))

    def destroy(self, request: Request, id: int) -> Response:
        """Delete the bot; its trades and runs stay. Refused while it is in position or in doubt."""
        with gone_is_404("bot"):
            services.bot_delete(bot=self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @_asks("start")
    def start(self, request: Request, id: int) -> Response:
        """Let the bot trade, and look at it at once."""
        return self._ask(services.bot_start)

    @_asks("stop")
    def stop(self, request: Request, id: int) -> Response:
        """Pause the bot and close its position."""
        return self._ask(services.bot_stop)

    @_asks("close")
    def close(self, request: Request, id: int) -> Response:
        """Close the bot's position; it stays active or paused as it was."""
        return self._ask(services.bot_close)

    @_asks("run")
    def run(self, request: Request, id: int) -> Response:
        """Look at the bot at once."""
        return self._ask(services.bot_run_now)

    @extend_schema(
        operation_id="bots_clear_hold", request=ClearHoldSerializer, responses={202: InboxSerializer}
    )
    def clear_hold(self, request: Request, id: int) -> Response:
        """End the bot's hold (doubt, drift, orders), once nothing stands against it; it is looked at then."""
        bot = self.get_object()
        values = body(request, ("reason",))
        with gone_is_404("bot"):
            entry = doubts.hold_clear(bot=bot, reason=values.get("reason", ""), by=request.user)
        transaction.on_commit(partial(wake_bot, bot.pk, entry.pk), robust=True)
        answer = InboxSerializer(entry, context=self.get_serializer_context()).data
        return Response(answer, status=status.HTTP_202_ACCEPTED, headers={"Location": answer["url"]})

    @extend_schema(operation_id="bots_pause", request=None, responses=BotSerializer)
    def pause(self, request: Request, id: int) -> Response:
        """No entries any more; the exits of an open position run on."""
        bot = self.get_object()
        body(request, ())
        with gone_is_404("bot"):
            services.bot_pause(bot=bot, by=request.user)
        return Response(self._shown(bot))

    @extend_schema(operation_id="bots_state", responses=BotStateSerializer)
    def state(self, request: Request, id: int) -> Response:
        """Where the bot stands, and what its next look would decide and why."""
        view = state_of(self.get_object())
        return Response(BotStateSerializer(view.state, context={"view": view}).data)

    def _ask(self, service: Callable[..., Any]) -> Response:
        bot = self.get_object()
        body(self.request, ())
        with gone_is_404("bot"), transaction.atomic():
            entry = service(bot=bot, by=self.request.user)
            if entry.handled_at is None:
                transaction.on_commit(partial(wake_bot, bot.pk, entry.pk), robust=True)
        answer = InboxSerializer(entry, context=self.get_serializer_context()).data
        return Response(answer, status=status.HTTP_202_ACCEPTED, headers={"Location": answer["url"]})

    def _change(self, bot: Any, values: dict[str, Any]) -> Response:
        account = None
        if "account" in values:
            account = self._account(values.pop("account"))
            if account is None:
                raise InvalidInput(NO_ACCOUNT, "account")
        with gone_is_404("bot"):
            services.bot_change(bot=bot, values=values, by=self.request.user, account=account)
        return Response(self._shown(bot))

    def _account(self, value: object) -> ExchangeAccount | None:
        """The visitor's account of that number, or None."""
        number = row_number(value)
        if number is None:
            return None
        rows = ExchangeAccount.objects.select_related("user")
        return owned(rows, self.request.user).filter(pk=number).first()

    def _shown(self, bot: Any) -> dict[str, Any]:
        """The bot as it is in the database now."""
        row = self.get_queryset().filter(pk=bot.pk).first()
        if row is None:
            raise NotFound(str(services.no_such_bot(bot.pk)))
        shown: dict[str, Any] = BotSerializer(row).data
        return shown


def _values(request: Request) -> dict[str, Any]:
    """The settings that were sent; parameters of a strategy are floats again, its validation judges them."""
    values = body(request, SETTINGS, READ_ONLY)
    params = values.get("strategy_params")
    if isinstance(params, dict):
        values["strategy_params"] = {
            name: float(value) if isinstance(value, Decimal) else value for name, value in params.items()
        }
    return values
