"""Pages and forms of the admin, as a browser has them."""

from __future__ import annotations

import html
from typing import Any

from django.test import Client
from django.urls import reverse

BOT_LIST = "admin:bots_botconfig_changelist"
BOT_ADD = "admin:bots_botconfig_add"
BOT_CHANGE = "admin:bots_botconfig_change"
BOT_DELETE = "admin:bots_botconfig_delete"


def page(client: Client, name: str, *arguments: Any, **query: str) -> str:
    """The HTML of a page, with entities resolved; it must exist."""
    response = client.get(reverse(name, args=arguments), query)
    assert response.status_code == 200, response.status_code
    return html.unescape(response.content.decode())


def bot_form(account: Any, /, **changes: Any) -> dict[str, Any]:
    """What the add page of a bot sends when little is filled in."""
    return {
        "name": "first",
        "account": account.pk,
        "market": "spot",
        "symbol": "BTCUSDT",
        "interval": "1m",
        "strategy": "ema_rsi",
        "strategy_params": "",
        "position_type": "long",
        "leverage": "1",
        "initial_capital": "1000",
        "position_size_perc": "100",
        "trailing_step_perc": "0.1",
        "cooldown_minutes": "0",
    } | changes


def errors_of(response: Any) -> dict[str, list[str]]:
    """The errors of the form on a page that came back."""
    assert response.status_code == 200, response.status_code
    return {name: list(texts) for name, texts in response.context["adminform"].form.errors.items()}


def act(client: Client, action: str, *bots: Any, follow: bool = True, **extra: str) -> Any:
    """Send an action of the bots' list."""
    data = {"action": action, "_selected_action": [bot.pk for bot in bots], **extra}
    return client.post(reverse(BOT_LIST), data, follow=follow)


def messages_of(response: Any) -> list[str]:
    """The messages on a page."""
    return [str(message) for message in response.context["messages"]]
