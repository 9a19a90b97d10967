"""Addresses of the API. An id is a number; whatever else stands there is no address, which is 404, too."""

from __future__ import annotations

from django.urls import path, re_path, register_converter

from bots.api.accounts import AccountViewSet
from bots.api.auth import LoginView, LogoutView
from bots.api.bots import BotViewSet
from bots.api.doubts import DoubtViewSet
from bots.api.kill_switches import KillSwitchViewSet
from bots.api.limits import LimitsViewSet
from bots.api.notifications import ChannelViewSet, DeliveryViewSet
from bots.api.orphans import OrphanViewSet
from bots.api.runs import BotRunViewSet, RunViewSet
from bots.api.schema import DocsView, NothingHereView, SchemaView
from bots.api.summary import SummaryView
from bots.api.symbols import SymbolsView
from bots.api.trades import BotTradeViewSet, TradeViewSet


class RowConverter:
    """The number of a row, small enough for the database."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


class RunConverter:
    """The number of a run, or inbox- and the number of an inbox entry."""

    regex = "(?:inbox-)?[0-9]{1,18}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


register_converter(RowConverter, "row")
register_converter(RunConverter, "run")

LIST = {"get": "list", "post": "create"}
ONE = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
PART = {method: name for method, name in ONE.items() if method != "put"}
ACTIONS = ("start", "pause", "stop", "run", "close", "clear-hold")

urlpatterns = [
    path("v1/bots/", BotViewSet.as_view(LIST), name="bots"),
    path("v1/bots/<row:id>/", BotViewSet.as_view(ONE), name="bot"),
    *(
        path(
            f"v1/bots/<row:id>/{action}/",
            BotViewSet.as_view({"post": action.replace("-", "_")}),
            name=f"bot-{action}",
        )
        for action in ACTIONS
    ),
    path("v1/bots/<row:id>/state/", BotViewSet.as_view({"get": "state"}), name="bot-state"),
    path("v1/bots/<row:id>/trades/", BotTradeViewSet.as_view({"get": "list"}), name="bot-trades"),
    path("v1/bots/<row:id>/runs/", BotRunViewSet.as_view({"get": "list"}), name="bot-runs"),
    path("v1/trades/", TradeViewSet.as_view({"get": "list"}), name="trades"),
    path("v1/runs/<run:id>/", RunViewSet.as_view({"get": "retrieve"}), name="run"),
    path("v1/accounts/", AccountViewSet.as_view(LIST), name="accounts"),
    path("v1/accounts/<row:id>/", AccountViewSet.as_view(ONE), name="account"),
    path("v1/notifications/channels/", ChannelViewSet.as_view(LIST), name="channels"),
    path("v1/notifications/channels/<row:id>/", ChannelViewSet.as_view(PART), name="channel"),
    *(
        path(
            f"v1/notifications/channels/<row:id>/{action}/",
            ChannelViewSet.as_view({"post": action}),
            name=f"channel-{action}",
        )
        for action in ("test", "rotate")
    ),
    path("v1/notifications/deliveries/", DeliveryViewSet.as_view({"get": "list"}), name="deliveries"),
    path(
        "v1/notifications/deliveries/<row:id>/",
        DeliveryViewSet.as_view({"get": "retrieve"}),
        name="delivery",
    ),
    path("v1/limits/", LimitsViewSet.as_view(LIST), name="limits"),
    path("v1/limits/<row:id>/", LimitsViewSet.as_view(PART), name="limits-row"),
    path("v1/kill-switches/", KillSwitchViewSet.as_view(LIST), name="kill-switches"),
    path("v1/kill-switches/<row:id>/", KillSwitchViewSet.as_view({"get": "retrieve"}), name="kill-switch"),
    path(
        "v1/kill-switches/<row:id>/lift/",
        KillSwitchViewSet.as_view({"post": "lift"}),
        name="kill-switch-lift",
    ),
    path("v1/orphans/", OrphanViewSet.as_view({"get": "list"}), name="orphans"),
    path("v1/orphans/<row:id>/", OrphanViewSet.as_view({"get": "retrieve"}), name="orphan"),
    *(
        path(
            f"v1/orphans/<row:id>/{action}/", OrphanViewSet.as_view({"post": action}), name=f"orphan-{action}"
        )
        for action in ("adopt", "cancel")
    ),
    path("v1/doubts/", DoubtViewSet.as_view({"get": "list"}), name="doubts"),
    path("v1/doubts/<row:id>/", DoubtViewSet.as_view({"get": "retrieve"}), name="doubt"),
    path("v1/doubts/<row:id>/resolve/", DoubtViewSet.as_view({"post": "resolve"}), name="doubt-resolve"),
    path("v1/symbols/", SymbolsView.as_view(), name="symbols"),
    path("v1/summary/", SummaryView.as_view(), name="summary"),
    path("v1/auth/login/", LoginView.as_view(), name="login"),
    path("v1/auth/logout/", LogoutView.as_view(), name="logout"),
    path("v1/schema/", SchemaView.as_view(), name="schema"),
    path("v1/docs/", DocsView.as_view(url_name="schema"), name="docs"),
    re_path(r"", NothingHereView.as_view()),
]
