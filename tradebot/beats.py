"""Signs of life in Redis: who writes them, how long they count. Knows no Django: health checks start fast."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import redis

FEED_KEY = "feed:beat"  # written by the feed itself, gone after a minute
USER_STREAMS_KEY = "user-streams:beat"  # written by their process, gone after a minute
SCHEDULER_KEY = "scheduler:beat"
BEAT_SECONDS = 5.0  # between two beats of a worker process
WORKER_KEEP_SECONDS = 15.0  # a worker that was not heard of for so long counts as gone
SCHEDULER_KEEP_SECONDS = 150  # the tick of each minute is a beat


@dataclass(frozen=True, slots=True)
class SchedulerBeat:
    """When the scheduler last sent something (seconds since the epoch), and how late it was (seconds)."""

    sent_at: float
    late_seconds: float


def workers_key(queue: str) -> str:
    """The sorted set of the processes that work on a queue: host:pid, by the time of the last beat."""
    return f"workers:{queue}"


def beat_worker(client: redis.Redis, queues: Iterable[str], member: str, now: float) -> None:
    """Say that the process `member` (host:pid) works on the queues; `now` in seconds since the epoch."""
    pipeline = client.pipeline(transaction=False)
    for queue in queues:
        pipeline.zadd(workers_key(queue), {member: now})
        pipeline.zremrangebyscore(workers_key(queue), 0, now - 60 * WORKER_KEEP_SECONDS)
    pipeline.execute()


def leave_worker(client: redis.Redis, queues: Iterable[str], member: str) -> None:
    """Say that the process takes no more messages of the queues."""
    pipeline = client.pipeline(transaction=False)
    for queue in queues:
        pipeline.zrem(workers_key(queue), member)
    pipeline.execute()


def workers_alive(client: redis.Redis, queues: Iterable[str], now: float) -> dict[str, list[str]]:
    """The living processes (host:pid) of each queue, in one request."""
    names = list(queues)
    pipeline = client.pipeline(transaction=False)
    for queue in names:
        pipeline.zrangebyscore(workers_key(queue), now - WORKER_KEEP_SECONDS, "+inf")
    return {
        queue: [member.decode() for member in members]
        for queue, members in zip(names, pipeline.execute(), strict=True)
    }


def beat_scheduler(client: redis.Redis, beat: SchedulerBeat) -> None:
    """Say that the scheduler has just sent something."""
    value = json.dumps({"sent_at": beat.sent_at, "late_seconds": beat.late_seconds})
    client.set(SCHEDULER_KEY, value, ex=SCHEDULER_KEEP_SECONDS)


def read_scheduler(client: redis.Redis) -> SchedulerBeat | None:
    """The scheduler's last beat; None when there was none lately, or its value is broken."""
    try:
        values = json.loads(client.get(SCHEDULER_KEY) or b"")
        return SchedulerBeat(float(values["sent_at"]), float(values["late_seconds"]))
    except (ValueError, TypeError, KeyError):
        return None
