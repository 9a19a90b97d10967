"""periodiq as a process: the tick of the minute is really sent, in UTC."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dramatiq

from tests.support.cluster import tail
from tests.support.environment import child_environment
from tests.support.waiting import wait_until
from tradebot.processes import ProcessSpec
from tradebot.redis import redis_client

PERIODIQ = str(Path(sys.executable).parent / "periodiq")
TICK = "run-all-active-bots-every-minute"


def queued(queue: str) -> list[dict[str, Any]]:
    """The messages that wait in a queue."""
    broker = dramatiq.get_broker()
    values = redis_client().hgetall(f"{broker.namespace}:{queue}.msgs").values()
    return [json.loads(value) for value in values]


def test_the_scheduler_sends_the_tick_of_the_present_minute(db, tmp_path, start_workers):
    env = child_environment(TZ="Pacific/Auckland")  # the machine's time zone changes nothing
    began = datetime.now(UTC)
    start_workers(ProcessSpec("scheduler", [PERIODIQ, "tradebot.scheduler"], env))
    # at once, unless it starts in the last seconds of a minute: then with the next one
    wait_until(lambda: TICK in [message["actor_name"] for message in queued("screen")], seconds=30)
    (tick,) = queued("screen")
    assert (tick["args"], tick["kwargs"]) == ([], {}), tail(tmp_path / "logs")
    scheduled = datetime.fromisoformat(tick["options"]["scheduled_at"])
    assert scheduled.utcoffset() == timedelta(0)
    assert began <= scheduled <= datetime.now(UTC) + timedelta(seconds=1)  # it is rounded up
