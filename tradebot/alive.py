"""What a container's health check asks: does the service of this very container live? Knows no Django.

    python -m tradebot.alive web [URL] | exchange [URL] | feed | user_streams | scheduler | worker QUEUE ...

Exit code 0 yes · 1 no, with a sentence on stderr · 2 usage. Uses REDIS_URL, and ALLOWED_HOSTS for `web`.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import redis

from tradebot import beats

LIMIT_SECONDS = 3.0
WEB_URL = "http://127.0.0.1:8000/healthz"
EXCHANGE_URL = "http://127.0.0.1:8899/api/v3/ping"


class NotAlive(Exception):
    """Raised with a sentence when the service gives no sign of life."""


def web(*urls: str) -> None:
    """GET an address of the web process, under the first name that ALLOWED_HOSTS allows."""
    host = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip()
    _get(urls[0] if urls else WEB_URL, "" if host.startswith((".", "*")) else host)


def exchange(*urls: str) -> None:
    """GET an address of the paper exchange."""
    _get(urls[0] if urls else EXCHANGE_URL, "")


def feed() -> None:
    """The feed's beat is a value that vanishes after a minute."""
    if not _redis().exists(beats.FEED_KEY):
        raise NotAlive("the feed gave no sign of life within a minute")


def user_streams() -> None:
    """So is the beat of the user streams."""
    if not _redis().exists(beats.USER_STREAMS_KEY):
        raise NotAlive("the user streams gave no sign of life within a minute")


def scheduler() -> None:
    """Each tick of the scheduler is a beat."""
    if beats.read_scheduler(_redis()) is None:
        raise NotAlive(f"the scheduler sent nothing within {beats.SCHEDULER_KEEP_SECONDS} s")


def worker(*queues: str) -> None:
    """A process of this machine (or container) works on each of the queues."""
    own = f"{socket.gethostname()}:"
    for queue, members in beats.workers_alive(_redis(), queues, time.time()).items():
        if not any(member.startswith(own) for member in members):
            raise NotAlive(f"no process of this host works on the queue {queue}")


# what to ask, and how many words may follow
SERVICES: dict[str, tuple[Callable[..., None], range]] = {
    "web": (web, range(2)),
    "exchange": (exchange, range(2)),
    "feed": (feed, range(1)),
    "user_streams": (user_streams, range(1)),
    "scheduler": (scheduler, range(1)),
    "worker": (worker, range(1, 100)),
}


def main(arguments: Sequence[str]) -> int:
    """Ask, and give the exit code."""
    name, words = (arguments[0], arguments[1:]) if arguments else ("", ())
    ask, allowed = SERVICES.get(name, (None, range(0)))
    if ask is None or len(words) not in allowed:
        return _say(__doc__ or "", 2)
    try:
        ask(*words)
    except NotAlive as error:
        return _say(str(error), 1)
    except (redis.RedisError, OSError, http.client.HTTPException) as error:
        return _say(f"{name} does not answer: {type(error).__name__}", 1)
    return 0


def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        os.environ["REDIS_URL"], socket_timeout=LIMIT_SECONDS, socket_connect_timeout=LIMIT_SECONDS
    )


def _get(url: str, host: str) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=LIMIT_SECONDS)
    try:
        connection.request("GET", parts.path, headers={"Host": host or parts.netloc})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise NotAlive(f"{parts.path} answered {status}")


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
