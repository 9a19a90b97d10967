"""Loaded by a worker process beside the actors: notes in Redis which process and thread did what."""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import Any

import dramatiq

from tradebot.redis import redis_client

BOOTED_KEY = "witness:booted"
DONE_KEY = "witness:done"


class Witness(dramatiq.Middleware):
    """One line for each process that is ready, and for each message that was worked on."""

    def after_worker_boot(self, broker: Any, worker: Any) -> None:
        redis_client().rpush(BOOTED_KEY, str(os.getpid()))

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        outcome = "good" if exception is None else type(exception).__name__
        line = f"{os.getpid()} {threading.get_ident()} {message.actor_name} {outcome}"
        redis_client().rpush(DONE_KEY, line)


def booted() -> set[int]:
    """The processes that are ready."""
    return {int(pid) for pid in redis_client().lrange(BOOTED_KEY, 0, -1)}


def done() -> list[tuple[int, int, str, str]]:
    """What was worked on: process, thread, actor, and "good" or the name of the exception."""
    lines = [line.decode().split() for line in redis_client().lrange(DONE_KEY, 0, -1)]
    return [(int(pid), int(thread), actor, outcome) for pid, thread, actor, outcome in lines]


def shares(names: list[int]) -> dict[int, float]:
    """By name, which part of all it has."""
    return {name: count / len(names) for name, count in Counter(names).items()}


if "pytest" not in os.environ.get("PYTEST_VERSION", "") and os.environ.get("TRADEBOT_WITNESS"):
    dramatiq.get_broker().add_middleware(Witness())
