"""The message broker: dramatiq's on Redis, whose consumers go on over a message that can't be read."""

from __future__ import annotations

import logging
from typing import Any

from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import DecodeError

logger = logging.getLogger(__name__)


class PatientConsumer(_RedisConsumer):  # type: ignore[misc]
    """dramatiq 2.2.1 starts a consumer anew after such a message, and what it had fetched beside waits."""

    def __next__(self) -> Any:
        """The next message that can be read, or None."""
        while True:
            try:
                return super().__next__()
            except DecodeError:
                # it stays among the unacknowledged ones: without an id it can't be named to the broker
                logger.exception("Failed to decode message of queue %s: it is left aside.", self.queue_name)


class PatientBroker(RedisBroker):  # type: ignore[misc]
    """The broker of the settings."""

    @property
    def consumer_class(self) -> type[PatientConsumer]:
        """What consume() makes."""
        return PatientConsumer
