"""The environment variables of a test run: each one is set, so that a .env file changes nothing."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

NOWHERE = "http://127.0.0.1:1"  # refused at once: a test that needs an exchange starts one

TEST_ENVIRONMENT = {
    "SECRET_KEY": "a-secret-key-of-the-tests-and-of-nothing-else",
    "FERNET_KEYS": "a-fernet-key-of-the-tests-and-of-nothing-else",
    "ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
    "DEBUG": "0",
    "HTTPS": "0",
    "LOG_FORMAT": "text",
    "METRICS_TOKEN": "",
    "TASK_SOFT_TIME_LIMIT": "150",
    "TASK_HARD_TIME_LIMIT": "180",
    "SYMBOLS_REFRESH_MINUTES": "15",
    "SYMBOLS_TTL": "3600",
    "SYMBOL_SOURCES": "live,paper",
    "PAPER_SPOT_URL": NOWHERE,
    "PAPER_FUTURES_URL": NOWHERE,
    "EGRESS_ID": "tests",
    "LIVE_TRADING": "0",
    "DEPLOYMENT_NONCE": "tests0",
    "CLOCK": "wall",
    "TIMINGS_SCALE": "1",
    "SCREEN_CHUNK": "1000",
    "EMAIL_URL": "",
    "EMAIL_FROM": "tradebot@localhost",
    "WEBHOOK_ALLOWED_HOSTS": "",
}


def child_environment(**changes: str) -> dict[str, str]:
    """The environment for a process of the project that a test starts: it works on the tests' database."""
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    database_url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
    return {**os.environ, "DATABASE_URL": database_url, **changes}
