"""The named row locks, in their one order: bot, then account, then owner. Nothing else locks rows."""

from __future__ import annotations

from typing import Any

from django.db import OperationalError, connection

from tradebot.errors import BotBusy
from trading.models import AccountState, BotState, OwnerState

LOCK_NOT_AVAILABLE = "55P03"
LATER_LOCK_TIMEOUT = "10000ms"


def _is_busy(error: OperationalError) -> bool:
    return getattr(error.__cause__, "pgcode", None) == LOCK_NOT_AVAILABLE


# One round trip: wait at most so long for the lock, read the row behind it (a statement of its own sees what
# was committed meanwhile); and what follows, an answer of the exchange above all, is not to be lost for a
# short wait.
LOCK_AND_READ = """
SET LOCAL lock_timeout = %s;
SELECT FROM trading_botstate WHERE bot_id = %s FOR NO KEY UPDATE;
SET LOCAL lock_timeout = %s;
SELECT * FROM trading_botstate WHERE bot_id = %s
"""


LOCK_BALANCES = """
SELECT * FROM trading_accountstate
WHERE account_id = %s AND market = %s AND asset = ANY(%s) ORDER BY asset FOR NO KEY UPDATE
"""


def lock_state_again(bot: Any, *, wait_seconds: float = 0) -> BotState:
    """lock_state() for a bot that was read, with its account, a moment ago: it is not read again.

    The state row is read anew, behind the lock.
    """
    try:
        if wait_seconds:
            values = [f"{wait_seconds * 1000:.0f}ms", bot.pk, LATER_LOCK_TIMEOUT, bot.pk]
            rows = list(BotState.objects.raw(LOCK_AND_READ, values))
        else:
            rows = list(BotState.objects.select_for_update(nowait=True, no_key=True).filter(bot_id=bot.pk))
    except OperationalError as error:
        if not _is_busy(error):
            raise
        raise _busy(bot.pk) from None
    if not rows:
        raise BotState.DoesNotExist(f"There is no state of bot {bot.pk}.")
    rows[0].bot = bot
    return rows[0]


def read_state(bot: Any) -> BotState:
    """The bot's state row as it is now, not locked."""
    rows = BotState.objects.raw("SELECT * FROM trading_botstate WHERE bot_id = %s", [bot.pk])
    state: BotState = rows[0]
    state.bot = bot
    return state


def _busy(bot_id: int) -> BotBusy:
    return BotBusy(f"Bot {bot_id} is being run right now; try again in a moment.")


def lock_state(bot_id: int, *, wait_seconds: float = 0) -> BotState:
    """The bot's state row, locked until the transaction ends.

    FOR NO KEY UPDATE: it does not block inserts that point at the bot. With `wait_seconds` 0 a busy row
    raises BotBusy at once, else after that time. Its bot and account come with it, not locked: after a wait
    they may be as old as the wait. Raises BotState.DoesNotExist for an unknown bot.
    """
    rows = BotState.objects.filter(bot_id=bot_id).select_related("bot__account")
    try:
        if not wait_seconds:
            return rows.select_for_update(nowait=True, no_key=True, of=("self",)).get()
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_seconds * 1000:.0f}ms"])
            state = rows.select_for_update(no_key=True, of=("self",)).get()
            # what follows, an answer of the exchange above all, is not to be lost for a short wait
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LATER_LOCK_TIMEOUT])
        return state
    except OperationalError as error:
        if not _is_busy(error):
            raise
        raise _busy(bot_id) from None


def lock_balances(account_id: int, market: str, assets: set[str]) -> dict[str, AccountState]:
    """The account's rows of these assets, locked, by asset; missing ones are made with nothing in them.

    Taken after the bot's lock, in the order of the assets' names, and never held over a request.
    """
    values = [account_id, market, list(assets)]
    rows = AccountState.objects.raw(LOCK_BALANCES, values)
    found = {row.asset: row for row in rows}
    if len(found) < len(assets):
        AccountState.objects.bulk_create(
            [AccountState(account_id=account_id, market=market, asset=asset) for asset in sorted(assets)],
            ignore_conflicts=True,
        )
        found = {row.asset: row for row in AccountState.objects.raw(LOCK_BALANCES, values)}
    return found


def lock_owner(user_id: int) -> OwnerState:
    """The owner's row, locked; made when missing. The last lock that a transaction takes."""
    rows = OwnerState.objects.filter(user_id=user_id).select_for_update(no_key=True, of=("self",))
    found = rows.first()
    if found is None:
        OwnerState.objects.bulk_create([OwnerState(user_id=user_id)], ignore_conflicts=True)
        found = rows.get()
    return found
