"""Calls of services that must change nothing, and short cuts."""

from __future__ import annotations

import pytest

from bots import services
from bots.models import BotConfig, BotInbox
from tests.support.owners import row_counts, values_of
from tradebot.errors import Refused
from trading.models import BotState


def refused(action, bot: BotConfig, error: type[Exception] = Refused, **options) -> str:
    """Call the service; it must raise `error`, and no row may be added or changed. Gives the message."""
    before, counts = values_of(bot), row_counts()
    with pytest.raises(error) as caught:
        action(bot=bot, by=options.pop("by", bot.user), **options)
    assert values_of(bot) == before
    assert row_counts() == counts
    return str(caught.value)


def state_of(bot: BotConfig) -> BotState:
    return BotState.objects.get(bot=bot)


def start(bot: BotConfig) -> BotInbox:
    return services.bot_start(bot=bot, by=bot.user)
