"""Workers that note in Redis which process and thread did what, and looking it up."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dramatiq

from tests.support.cluster import ROOT
from tradebot import failpoints
from tradebot.processes import ProcessSpec
from tradebot.redis import redis_client

BOOTED_KEY = "witness:booted"
DONE_KEY = "witness:done"
ACTORS = ("bots.actors", "marketdata.actors")


class Witness(dramatiq.Middleware):
    """One line for each process that is ready, and for each message that was worked on."""

    def after_worker_boot(self, broker: Any, worker: Any) -> None:
        redis_client().rpush(BOOTED_KEY, os.getpid())

    def before_process_message(self, broker: Any, message: Any) -> None:
        failpoints.reached("message.begin")

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        outcome = "good" if exception is None else type(exception).__name__
        redis_client().rpush(
            DONE_KEY, f"{os.getpid()} {threading.get_ident()} {message.actor_name} {outcome}"
        )


@dataclass(frozen=True)
class Done:
    """A message that was worked on: where, what, and "good" or the name of the exception."""

    pid: int
    thread: int
    actor: str
    outcome: str


def booted() -> set[int]:
    """The processes that are ready."""
    return {int(pid) for pid in redis_client().lrange(BOOTED_KEY, 0, -1)}


def done() -> list[Done]:
    """All that was worked on, in order."""
    found = []
    for line in redis_client().lrange(DONE_KEY, 0, -1):
        pid, thread, actor, outcome = line.decode().split()
        found.append(Done(int(pid), int(thread), actor, outcome))
    return found


def witnessed_worker(
    name: str, env: Mapping[str, str], *queues: str, processes: int = 1, threads: int = 1
) -> ProcessSpec:
    """What `rundramatiq` would start, with the witness beside the actors."""
    argv = [
        *[sys.executable, "-m", "dramatiq", "django_dramatiq.setup", *ACTORS, "tests.workers.witness"],
        *["--path", str(ROOT), "--processes", str(processes), "--threads", str(threads)],
        *["--queues", *queues],
    ]
    quick = {"dramatiq_worker_timeout": "10", "dramatiq_queue_prefetch": "2"}
    return ProcessSpec(name, argv, {**quick, **env})
