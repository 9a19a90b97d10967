"""Long gates outlive Redis and every process: who keeps them is registered at the start of the application.

This floor knows no tables. Without a keeper, or while the database is away, gates are in memory and Redis.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import Error as DatabaseFailure

LONG_SECONDS = 60.0  # shorter ones are over before anything has restarted
REST_SECONDS = 10.0  # how long a database that failed is not asked again

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeper:
    """What keeps gates: `save` one, `load` those still closed (by name, until when), `tell` of a ban.

    All may raise django.db.Error. `save` must have committed when it returns, whatever the caller's
    transaction comes to.
    """

    save: Callable[[str, datetime], None]
    load: Callable[[], Mapping[str, datetime]]
    tell: Callable[[str, datetime], None]


_keeper: Keeper | None = None
_lock = threading.Lock()
_was_recalled = False
_rests_until = 0.0


def register(keeper: Keeper | None) -> None:
    """Let `keeper` keep the long gates of this process from now on."""
    global _keeper
    _keeper = keeper


def keep(gate: str, milliseconds: int) -> None:
    """Keep a gate that was closed, if it is a long one. Never raises for the database's sake."""
    if _keeper is None or milliseconds < LONG_SECONDS * 1000:
        return
    try:
        _keeper.save(gate, datetime.now(UTC) + timedelta(milliseconds=milliseconds))
    except DatabaseFailure as error:
        logger.warning("the gate %s could not be written to the database: %s", gate, type(error).__name__)


def tell(gate: str, milliseconds: int) -> None:
    """Tell of a ban: in the log, and whom the keeper tells. Never raises for the database's sake."""
    until = datetime.now(UTC) + timedelta(milliseconds=milliseconds)
    logger.error(
        "the exchange has banned this address (HTTP 418): %s is closed until %s UTC", gate, f"{until:%F %T}"
    )
    if _keeper is None:
        return
    try:
        _keeper.tell(gate, until)
    except DatabaseFailure as error:
        logger.warning("nobody could be told of the ban: %s", type(error).__name__)


def recall(close: Callable[[str, int], None], *, again: bool = False) -> bool:
    """Close the gates that are kept: once a process, and `again` when Redis was found empty.

    `close` takes a gate and the milliseconds that are left of it. False when the database did not answer;
    then it is left alone for some seconds, and requests go on.
    """
    global _was_recalled, _rests_until
    if _keeper is None:
        return True
    if (_was_recalled and not again) or time.monotonic() < _rests_until:
        return _was_recalled and not again
    with _lock:  # others wait: they must not send before the gates are known
        if _was_recalled and not again:
            return True
        try:
            kept = _keeper.load()
        except DatabaseFailure as error:
            _rests_until = time.monotonic() + REST_SECONDS
            logger.warning("the gates could not be read from the database: %s", type(error).__name__)
            return False
        _was_recalled = True
        now = datetime.now(UTC)
        for gate, until in kept.items():
            if until > now:
                close(gate, int((until - now).total_seconds() * 1000))
    return True


def forget_process_state() -> None:
    """As in a process that has just started (for tests)."""
    global _was_recalled, _rests_until
    _was_recalled, _rests_until = False, 0.0
