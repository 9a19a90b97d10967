"""What a run has to know first, as yes or no: details are read only of what is there. One statement each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from bots.models import BotConfig
from tradebot import rows
from trading import protocol
from trading.models import ExchangeAccount
from trading.models.journal import DOUBT_STATES

# xmin is the transaction that wrote the row: another one after any change, whoever made it
READ_BOT = """
, bots_botconfig.xmin::text
FROM bots_botconfig JOIN trading_exchangeaccount ON trading_exchangeaccount.id = bots_botconfig.account_id
WHERE bots_botconfig.id = %s
"""
# doubts (and fills that are not all booked), orders on the exchange, news of them, a fresh balance, a switch
BEFORE = """
SELECT EXISTS (SELECT FROM trading_orderrequest WHERE bot_id = %s AND state = ANY(%s))
    OR EXISTS (SELECT FROM trading_order
               WHERE bot_id = %s AND NOT live AND NOT fills_complete AND executed_quantity > 0),
    EXISTS (SELECT FROM trading_order WHERE bot_id = %s AND live),
    ARRAY(SELECT id FROM bots_botinbox WHERE bot_id = %s AND handled_at IS NULL AND kind = 'order'),
    EXISTS (SELECT FROM trading_accountstate
            WHERE account_id = %s AND market = %s AND asset = %s AND asked_at >= %s),
    EXISTS (SELECT FROM trading_killswitch WHERE lifted_at IS NULL)
"""
UNDER_LOCK = """
SELECT (SELECT xmin::text FROM bots_botconfig WHERE id = %s),
    EXISTS (SELECT FROM bots_botinbox WHERE bot_id = %s AND handled_at IS NULL),
    EXISTS (SELECT FROM trading_orderrequest WHERE bot_id = %s AND state = ANY(%s)),
    EXISTS (SELECT FROM trading_order WHERE bot_id = %s AND live),
    (SELECT nonce FROM trading_deployment ORDER BY id DESC LIMIT 1)
"""


@dataclass(frozen=True, slots=True)
class Before:
    """What a run finds before it takes the lock."""

    has_doubts: bool  # what recovery asks for: an open or LATE request, or fills that are not all booked
    has_live: bool
    order_news: list[int]  # as inbox.order_news()
    has_fresh_balance: bool
    has_kill_switch: bool  # of whatever bots


@dataclass(frozen=True, slots=True)
class Found:
    """What is there at one moment: mail, doubts, live orders, and which version of the bot's row."""

    row_version: str
    has_mail: bool
    has_doubts: bool
    has_live: bool
    nonce: str | None  # of the deployment; in force if the bot's lock was taken before


def read_bot(bot_id: int) -> tuple[BotConfig, str]:
    """The bot with its account, and the version of its row. Raises BotConfig.DoesNotExist."""
    answered = rows.run(rows.select_pairs(BotConfig, ExchangeAccount, READ_BOT, [bot_id]))
    found = rows.made_pairs(BotConfig, ExchangeAccount, answered)
    if not found:
        raise BotConfig.DoesNotExist(f"There is no bot {bot_id}.")
    config, account, (row_version,) = found[0]
    config.account = account
    return config, row_version


def before(config: BotConfig, quote: str, now: datetime) -> Before:
    """Look before the lock; `quote` is the asset whose balance must be fresh."""
    oldest = now - timedelta(seconds=settings.TIMINGS.account_max_age_seconds)
    bot: list[Any] = [config.pk, list(protocol.ASKED), config.pk, config.pk, config.pk]
    return Before(*rows.one(BEFORE, [*bot, config.account_id, config.market, quote, oldest]))


def look(bot_id: int) -> Found:
    """Look under the bot's lock, or after it as a screen does."""
    return Found(*rows.one(UNDER_LOCK, [bot_id, bot_id, bot_id, list(DOUBT_STATES), bot_id]))
