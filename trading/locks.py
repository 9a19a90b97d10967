"""The named row locks, in their one order: bot, then account, then owner. Nothing else locks rows."""

from __future__ import annotations

from typing import Any

from django.db import OperationalError, connection

from tradebot import rows
from tradebot.errors import BotBusy
from trading.models import AccountState, BotState, OrderRequest, OwnerState

LOCK_NOT_AVAILABLE = "55P03"
LATER_LOCK_TIMEOUT = "10000ms"


def _is_busy(error: OperationalError) -> bool:
    return getattr(error.__cause__, "pgcode", None) == LOCK_NOT_AVAILABLE


# One round trip with what reads the row behind the lock (a statement of its own sees what was committed
# meanwhile): wait at most so long, and from then on longer, because what follows, an answer of the exchange
# above all, is not to be lost for a short wait.
WAIT_AND_LOCK = """
SET LOCAL lock_timeout = %s;
SELECT FROM trading_botstate WHERE bot_id = %s FOR NO KEY UPDATE;
SET LOCAL lock_timeout = %s
"""
STATE_AND_REQUEST = """
FROM trading_botstate JOIN trading_orderrequest ON trading_orderrequest.bot_id = trading_botstate.bot_id
WHERE trading_botstate.bot_id = %s AND trading_orderrequest.id = %s
"""
BALANCES = "WHERE account_id = %s AND market = %s AND asset = ANY(%s) ORDER BY asset FOR NO KEY UPDATE"


def lock_state_again(bot: Any, *, wait_seconds: float = 0) -> BotState:
    """lock_state() for a bot that was read, with its account, a moment ago: it is not read again.

    The state row is read anew, behind the lock.
    """
    try:
        if wait_seconds:
            reading = rows.select(BotState, "WHERE bot_id = %s", [bot.pk])
            states = rows.made(BotState, rows.run(_wait_and_lock(bot, wait_seconds), reading))
        else:
            states = list(BotState.objects.select_for_update(nowait=True, no_key=True).filter(bot_id=bot.pk))
    except OperationalError as error:
        if not _is_busy(error):
            raise
        raise _busy(bot.pk) from None
    if not states:
        raise BotState.DoesNotExist(f"There is no state of bot {bot.pk}.")
    states[0].bot = bot
    return states[0]


def lock_state_and_request(
    bot: Any, request_id: int, *, wait_seconds: float
) -> tuple[BotState, OrderRequest]:
    """lock_state_again(), and a request of the bot as it is behind the lock."""
    reading = rows.select_pairs(BotState, OrderRequest, STATE_AND_REQUEST, [bot.pk, request_id])
    try:
        found = rows.made_pairs(BotState, OrderRequest, rows.run(_wait_and_lock(bot, wait_seconds), reading))
    except OperationalError as error:
        if not _is_busy(error):
            raise
        raise _busy(bot.pk) from None
    if not found:
        raise OrderRequest.DoesNotExist(f"There is no request {request_id} of bot {bot.pk}.")
    state, request, _ = found[0]
    state.bot = request.bot = bot
    return state, request


def _wait_and_lock(bot: Any, wait_seconds: float) -> rows.Statement:
    return rows.Statement(WAIT_AND_LOCK, [f"{wait_seconds * 1000:.0f}ms", bot.pk, LATER_LOCK_TIMEOUT])


def _busy(bot_id: int) -> BotBusy:
    return BotBusy(f"Bot {bot_id} is being run right now; try again in a moment.")


def lock_state(bot_id: int, *, wait_seconds: float = 0) -> BotState:
    """The bot's state row, locked until the transaction ends.

    FOR NO KEY UPDATE: it does not block inserts that point at the bot. With `wait_seconds` 0 a busy row
    raises BotBusy at once, else after that time. Its bot and account come with it, not locked: after a wait
    they may be as old as the wait. Raises BotState.DoesNotExist for an unknown bot.
    """
    states = BotState.objects.filter(bot_id=bot_id).select_related("bot__account")
    try:
        if not wait_seconds:
            return states.select_for_update(nowait=True, no_key=True, of=("self",)).get()
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_seconds * 1000:.0f}ms"])
            state = states.select_for_update(no_key=True, of=("self",)).get()
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
    found = {row.asset: row for row in rows.read(AccountState, BALANCES, values)}
    if len(found) < len(assets):
        AccountState.objects.bulk_create(
            [AccountState(account_id=account_id, market=market, asset=asset) for asset in sorted(assets)],
            ignore_conflicts=True,
        )
        found = {row.asset: row for row in rows.read(AccountState, BALANCES, values)}
    return found


def lock_owner(user_id: int) -> OwnerState:
    """The owner's row, locked; made when missing. The last lock that a transaction takes."""
    owners = OwnerState.objects.filter(user_id=user_id).select_for_update(no_key=True, of=("self",))
    found = owners.first()
    if found is None:
        OwnerState.objects.bulk_create([OwnerState(user_id=user_id)], ignore_conflicts=True)
        found = owners.get()
    return found
