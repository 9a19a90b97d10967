"""What every admin page shows: the environments that money may move in."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from trading.models import ExchangeAccount

register = template.Library()
ORDER = ("live", "testnet", "paper")  # the most dangerous first


@register.simple_tag(takes_context=True)
def environments(context: Context) -> list[str]:
    """The environments of the accounts that the visitor may see, all of them before the login; else paper."""
    user: Any = context.get("user")
    accounts = ExchangeAccount.objects.order_by()
    if user is not None and user.is_authenticated and not user.is_superuser:
        accounts = accounts.filter(user=user)
    found = set(accounts.values_list("environment", flat=True).distinct())
    return [name for name in ORDER if name in found] or ["paper"]
