"""Requests to the API as a client sends them, and what an error must look like."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.test import Client
from knox.models import AuthToken

from bots.models import BotConfig, BotRun
from bots.notifications.models import NotificationChannel
from bots.notifications.services import channel_create
from tests.support.owners import NOW, make_order, make_request
from trading.models import Orphan, Trade

ROOT = "/api/v1/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


class Api:
    """A client of the API with a token of its user; without a user it has none."""

    def __init__(self, user: Any = None) -> None:
        headers = {"Authorization": f"Token {AuthToken.objects.create(user)[1]}"} if user else {}
        self.client = Client(headers=headers)

    def send(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        """Send a request; a body that is not bytes is written as JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        address = path if path.startswith("/") else ROOT + path
        options.setdefault("content_type", "application/json")
        return self.client.generic(method, address, data, **options)

    def get(self, path: str) -> Any:
        """What a GET answers; it must be there."""
        response = self.send("GET", path)
        assert response.status_code == 200, response.content
        return response.json()

    def post(self, path: str, body: object = None) -> Any:
        return self.send("POST", path, body)

    def patch(self, path: str, body: object) -> Any:
        return self.send("PATCH", path, body)

    def put(self, path: str, body: object) -> Any:
        return self.send("PUT", path, body)

    def delete(self, path: str) -> Any:
        return self.send("DELETE", path)


def error_of(response: Any, status: int) -> dict[str, Any]:
    """The error that the response must be, in the one shape of errors."""
    assert response.status_code == status, (response.status_code, response.content)
    assert response["Content-Type"] == "application/json"
    document = response.json()
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"code", "message", "fields"}
    assert error["code"]
    assert error["message"].endswith("."), error["message"]
    assert all(isinstance(text, str) and text for text in error["fields"].values())
    return error


def make_trade(bot: BotConfig, number: int = 0, **changes: Any) -> Trade:
    """A trade of the bot, `number` minutes after noon."""
    order = make_order(make_request(bot, state="ACCEPTED"))
    values = {
        "bot_config": bot,
        "user": bot.user,
        "order": order,
        "symbol": bot.symbol,
        "side": "SELL",
        "purpose": "EXIT",
        "price": Decimal("60000.5"),
        "quantity_filled": Decimal("0.01"),
        "realized_pnl": Decimal("1.25"),
        "binance_order_id": number + 1,
        "created_at": NOW + timedelta(minutes=number),
    }
    return Trade.objects.create(**values | changes)


def make_orphan(account: Any, number: int = 1, **changes: Any) -> Orphan:
    """An order on the exchange that the journal lacks."""
    values = {
        "market": "spot",
        "symbol": "BTCUSDT",
        "kind": "orphan",
        "client_id": f"tb1-tests0-1-{number}",
        "exchange_id": number,
        "side": "BUY",
        "type": "LIMIT",
        "quantity": Decimal(1),
        "status": "NEW",
        "found_at": NOW,
    }
    return Orphan.objects.create(account=account, **values | changes)


def make_run(bot: BotConfig, number: int = 0, **changes: Any) -> BotRun:
    """A run of the bot, `number` minutes after noon."""
    at = NOW + timedelta(minutes=number)
    values = {"trigger": "minute", "key": at.isoformat(), "slot": at, "started_at": at, "outcome": "traded"}
    return BotRun.objects.create(bot=bot, **values | changes)


def make_channel(user: Any, **values: Any) -> NotificationChannel:
    """An e-mail channel of the user, told of trades, unless told otherwise."""
    values = {"name": "mine", "kind": "email", "target": "me@example.com", "events": ["trade"]} | values
    return channel_create(user=user, **values).channel
