"""Middleware of the workers: time limit, clean connections, signs of life, schema, ids for the logs."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import redis
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connections
from dramatiq import Broker, Message, Middleware
from dramatiq.broker import MessageProxy

from tradebot import beats, health
from tradebot.logs import log_context
from tradebot.redis import redis_client

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


class SchemaGuard(Middleware):
    """Ends a worker process that boots on a schema it does not know, before it takes a message.

    Its supervisor starts it again later: by then `manage.py migrate` has run, or newer code is there.
    """

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        """Exit with code 3 unless exactly the known migrations are applied."""
        try:
            health.schema()
        except health.Unhealthy as error:
            self._refuse(f"{error} {health.SCHEMA.what_to_do}")
        except DatabaseFailure:
            self._refuse("The database does not answer, so its schema is not known.")
        finally:
            connections.close_all()

    def _refuse(self, sentence: str) -> None:
        logger.critical("This worker does not start: %s", sentence)
        sys.exit(3)  # SystemExit: dramatiq would log any other exception and go on


class Heartbeat(Middleware):
    """Tells in Redis that this process works on its queues, and that the scheduler sends its ticks."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._queues: list[str] = []
        self._member = ""

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        """Start the thread that beats; the first beat is at once."""
        self._queues = sorted(worker.consumer_whitelist or broker.get_declared_queues())
        self._member = f"{socket.gethostname()}:{os.getpid()}"
        self._stopped = threading.Event()
        threading.Thread(target=self._beat, args=(worker,), name="heartbeat", daemon=True).start()

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        """From here on no message is taken."""
        self._stopped.set()
        try:
            beats.leave_worker(redis_client(), self._queues, self._member)
        except redis.RedisError:
            logger.warning("Redis does not answer; this worker counts as alive for some seconds more.")

    def after_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:
        """A message with a time of the schedule comes from the scheduler."""
        if "scheduled_at" not in message.options:
            return
        now = datetime.now(UTC)
        late = (now - datetime.fromisoformat(message.options["scheduled_at"])).total_seconds()
        try:
            beats.beat_scheduler(redis_client(), beats.SchedulerBeat(now.timestamp(), late))
        except redis.RedisError:
            logger.warning("Redis does not answer; the scheduler's beat is lost.")

    def _beat(self, worker: Any) -> None:
        while not self._stopped.is_set() and all(thread.is_alive() for thread in worker.workers):
            try:
                beats.beat_worker(redis_client(), self._queues, self._member, time.time())
            except redis.RedisError:
                logger.warning("Redis does not answer; this worker's beat is lost.")
            self._stopped.wait(beats.BEAT_SECONDS)


class LogIds(Middleware):
    """Has what is logged while a message is worked on carry its id and its actor."""

    def __init__(self) -> None:
        self._contexts: dict[int, AbstractContextManager[None]] = {}

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Open the context of this thread."""
        context = log_context(message_id=message.message_id, actor=message.actor_name)
        self._contexts[threading.get_ident()] = context
        context.__enter__()

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: Any = None
    ) -> None:
        """Close it."""
        context = self._contexts.pop(threading.get_ident(), None)
        if context is not None:
            context.__exit__(None, None, None)

    after_skip_message = after_process_message
