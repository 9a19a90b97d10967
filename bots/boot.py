"""What a worker does when it starts: accounts may have changed while nobody looked."""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error as DatabaseFailure
from django.db import connections
from dramatiq import Broker, Middleware

from tradebot import clock

logger = logging.getLogger(__name__)
QUEUE = "background"


class SweepAtStart(Middleware):
    """Marks every account as doubtful when a worker of the queue background starts."""

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        """Only marks: the minute's sweep comes by itself."""
        if QUEUE not in (worker.consumer_whitelist or broker.get_declared_queues()):
            return
        from trading.sweep import mark_all_doubtful  # the broker is made before the models are

        try:
            mark_all_doubtful("a worker started", clock.now())
        except DatabaseFailure:
            logger.warning("The database does not answer; accounts are swept in their turn.")
        finally:
            connections.close_all()
