"""Messages that no worker can work on: counted in PostgreSQL, given up after three tries, kept to be read.

A worker that dies over a message does not say so, and the message comes again, for ever. So a message whose
age allows for more than two such returns is counted before it is worked on; runs and screens are not: they
are dropped by age after 55 s, and a dead worker's messages come back after 45 s.
"""

from __future__ import annotations

import inspect
import json
import logging
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import Error as DatabaseFailure
from django.db import connection
from dramatiq import Broker, Middleware
from dramatiq.broker import MessageProxy
from dramatiq.errors import ActorNotFound
from dramatiq.middleware import SkipMessage

from tradebot import clock

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
COUNTED_FROM_MS = 120_000  # max_age of an actor from which its messages are counted
ARGUMENTS_SHOWN = 2000
KEPT = timedelta(days=30)


class DeadLetters(Middleware):
    """Counts tries; puts aside what killed three workers, has no actor here, or the wrong arguments."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Count this try. Raises SkipMessage, and nacks the message, when there were three."""
        if message.failed or not _is_counted(broker, message):
            return
        try:
            letter, is_new = _letters().get_or_create(message_id=message.message_id, defaults=_told(message))
            if not is_new:
                letter.attempts += 1
                letter.save(update_fields=["attempts"])
        except DatabaseFailure as error:  # the work itself will say so, too
            logger.warning("the try of message %s is not counted: %s", message.message_id, error)
            return
        if letter.attempts > MOST_ATTEMPTS:
            _give_up(letter, f"its worker died or was cut off {MOST_ATTEMPTS} times")
            message.fail()
            raise SkipMessage("tried too often")

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: Any = None
    ) -> None:
        """Keep what can never be worked on; forget what came to an end."""
        reason = _why_never(broker, message, exception)
        try:
            if reason:
                letter, _ = _letters().get_or_create(message_id=message.message_id, defaults=_told(message))
                _give_up(letter, reason)
                message.fail()
            elif _is_counted(broker, message):
                _letters().filter(message_id=message.message_id, dead_at__isnull=True).delete()
        except DatabaseFailure as error:
            logger.warning("message %s is not noted as ended: %s", message.message_id, error)

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Keep a message of an actor that is not there: it never comes to a worker thread, but ends here."""
        if message.actor_name in broker.actors:
            return
        self.after_process_message(broker, message, exception=ActorNotFound(message.actor_name))
        connection.close()  # of the consumer's thread, which has no other use for one


def tidy() -> int:
    """Remove dead letters that are older than 30 days; gives how many."""
    return _letters().filter(dead_at__lt=clock.now() - KEPT).delete()[0]


def _letters() -> Any:
    """The rows. The broker, and with it this module, is there before the models are."""
    return apps.get_model("bots", "DeadLetter").objects


def _is_counted(broker: Broker, message: MessageProxy) -> bool:
    try:
        max_age = broker.get_actor(message.actor_name).options.get("max_age")
    except ActorNotFound:
        return False
    return max_age is None or max_age >= COUNTED_FROM_MS


def _why_never(broker: Broker, message: MessageProxy, exception: BaseException | None) -> str:
    """Why no worker of this code can ever work on it; empty when one might."""
    if isinstance(exception, ActorNotFound):
        return "there is no such actor"
    if isinstance(exception, TypeError):
        function = broker.get_actor(message.actor_name).fn
        try:
            inspect.signature(function).bind(*message.args, **message.kwargs)
        except TypeError as error:
            return f"wrong arguments: {error}"
    return ""


def _told(message: MessageProxy) -> dict[str, Any]:
    arguments = json.dumps([list(message.args), message.kwargs], default=str)
    return {
        "queue": message.queue_name[:40],
        "actor": message.actor_name[:100],
        "arguments": arguments[:ARGUMENTS_SHOWN],
        "first_at": clock.now(),
    }


def _give_up(letter: Any, reason: str) -> None:
    letter.dead_at, letter.reason = clock.now(), reason
    letter.save(update_fields=["dead_at", "reason"])
    logger.error("message %s of actor %s is put aside: %s", letter.message_id, letter.actor, reason)
