"""Middleware of the workers: the hard time limit, and connections that are clean for each message."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connections
from dramatiq import Broker, Middleware
from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)


class HardTimeLimit(Middleware):
    """Ends the process when a message outlives TASK_HARD_TIME_LIMIT; its supervisor starts it again.

    dramatiq's own limit raises inside Python code only and can't break a system call.
    """

    def __init__(self) -> None:
        self._started: dict[int, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._watching = False

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        """Start the watchdog thread, once a process."""
        with self._lock:
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="hard-time-limit", daemon=True).start()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Note when this thread began."""
        self._started[threading.get_ident()] = (time.monotonic(), message.actor_name)

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: Any = None
    ) -> None:
        """Forget this thread."""
        self._started.pop(threading.get_ident(), None)

    after_skip_message = after_process_message

    def _watch(self) -> None:
        while True:
            time.sleep(1)
            oldest = time.monotonic() - settings.TASK_HARD_TIME_LIMIT
            for began, actor_name in list(self._started.values()):
                if began < oldest:
                    logger.critical("hard time limit: %s never ended; the process is killed", actor_name)
                    os.kill(os.getpid(), signal.SIGKILL)


class CleanConnections(Middleware):
    """Gives each message a usable database connection.

    A time limit that strikes between the start of a transaction and its body leaves a connection that
    believes to be in a transaction for ever; such a one is closed, before and after each message.
    """

    def _clean(self) -> None:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block or connection.closed_in_transaction:
                connection.in_atomic_block = False
                connection.closed_in_transaction = False
                connection.savepoint_ids = []
                connection.run_on_commit = []
                connection.needs_rollback = False
                connection.atomic_blocks = []
                connection.close()
        close_old_connections()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Close what an earlier message left behind."""
        self._clean()

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: Any = None
    ) -> None:
        """Leave nothing behind for the next message."""
        self._clean()
