"""The pytest plugin that gives the tests their servers and environment, before Django's settings are read.

DATABASE_URL and REDIS_URL of the environment win, each on its own; otherwise embedded servers run in a folder
of their own for as long as the tests do. With `-n 2` (pytest-xdist) each test process has its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
import redis

from tests.support.environment import TEST_ENVIRONMENT
from tests.support.network import block_network
from tradebot.embedded import ServerError, Servers

EMBEDDED = (
    "TRADEBOT_TESTS_EMBEDDED"  # says to test processes that DATABASE_URL and REDIS_URL are embedded ones
)
SERVERS = pytest.StashKey[Servers]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Runs before pytest-django reads the settings: a wrapper comes before every plain hook."""
    if os.environ.pop(EMBEDDED, ""):  # of the process that started this one (xdist): not ours to share
        del os.environ["DATABASE_URL"], os.environ["REDIS_URL"]
    if "REDIS_URL" in os.environ and getattr(early_config.known_args_namespace, "numprocesses", None):
        raise pytest.UsageError(
            "REDIS_URL names one Redis database, and several test processes would empty it for each other: "
            'run one, with make test ARGS="-n 0".'
        )
    refuse_filled_redis(os.environ.get("REDIS_URL", ""))
    os.environ.update(TEST_ENVIRONMENT)
    given = "DATABASE_URL" in os.environ or "REDIS_URL" in os.environ
    folder = tempfile.mkdtemp(prefix="tradebot-tests-")
    servers = Servers(Path(folder), durable=False)
    servers.warden.remove_folder(folder)  # also when the tests are killed
    early_config.stash[SERVERS] = servers
    try:
        os.environ.update(servers.start())
    except ServerError as error:
        raise pytest.UsageError(str(error)) from None
    if not given:
        os.environ[EMBEDDED] = "1"
    block_network()
    return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers."""
    servers = config.stash.get(SERVERS, None)
    if servers is not None:
        servers.stop()


def refuse_filled_redis(url: str) -> None:
    """Each test empties its Redis database: one that somebody gave us must be empty from the start."""
    if not url:
        return
    try:
        with redis.Redis.from_url(url) as client:
            keys = client.dbsize()
    except redis.RedisError as error:
        raise pytest.UsageError(f"REDIS_URL is set, but does not answer: {error}") from None
    if keys:
        raise pytest.UsageError(
            f"REDIS_URL names a database with {keys} keys, and the tests would remove them; "
            "name an empty one, like redis://127.0.0.1:6379/15, or unset REDIS_URL."
        )
