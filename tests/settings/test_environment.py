"""A broken environment variable: `manage.py check` ends with exit code 2 and a sentence that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import TEST_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "hunter2"  # of the addresses: never repeated in a message
SERVERS = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/db", "REDIS_URL": "redis://127.0.0.1:1/0"}

BROKEN = [
    ("SECRET_KEY", ""),
    ("FERNET_KEYS", ""),
    ("FERNET_KEYS", f"{PASSWORD}-is-short"),
    ("FERNET_KEYS", f"one-key-of-more-than-thirty-two-characters,{PASSWORD}"),
    ("DATABASE_URL", ""),
    ("DATABASE_URL", f"mysql://u:{PASSWORD}@127.0.0.1/db"),
    ("DATABASE_URL", f"postgresql://u:{PASSWORD}@127.0.0.1:port/db"),
    ("DATABASE_URL", f"postgresql://u:{PASSWORD}@127.0.0.1:5432/"),
    ("REDIS_URL", ""),
    ("REDIS_URL", f"http://u:{PASSWORD}@127.0.0.1:6379"),
    ("REDIS_URL", f"redis://:{PASSWORD}@127.0.0.1:port/0"),
    ("REDIS_URL", f"redis://:{PASSWORD}@127.0.0.1:6379/zero"),
    ("DEBUG", "maybe"),
    ("TASK_SOFT_TIME_LIMIT", "long"),
    ("TASK_SOFT_TIME_LIMIT", "0"),
    ("TASK_HARD_TIME_LIMIT", "-1"),
    ("TASK_HARD_TIME_LIMIT", "150"),  # as the soft one
    ("SYMBOLS_REFRESH_MINUTES", "0"),
    ("SYMBOLS_TTL", "an hour"),
    ("SYMBOL_SOURCES", "live,moon"),
    ("PAPER_SPOT_URL", "127.0.0.1:8899"),
    ("PAPER_SPOT_URL", "http://127.0.0.1:port"),
    ("PAPER_FUTURES_URL", "http://"),
    ("LIVE_TRADING", "perhaps"),
    ("DEPLOYMENT_NONCE", "seven77"),
    ("CLOCK", "sundial"),
    ("SCREEN_CHUNK", "0"),
    ("TIMINGS_SCALE", "2"),
    ("TIMINGS_SCALE", "nan"),
    ("HTTPS", "perhaps"),
    ("LOG_FORMAT", "xml"),
    ("METRICS_TOKEN", f"{PASSWORD}-short"),
]


def check(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`manage.py check` in exactly this environment, with the variables that start a program at all."""
    usual = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**usual, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_broken_variable_is_named_in_a_sentence_and_exit_code_2(name: str, value: str) -> None:
    done = check({**TEST_ENVIRONMENT, **SERVERS, name: value})
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    assert done.stderr.count("\n") == 1, "one sentence, no traceback"
    assert PASSWORD not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["SECRET_KEY", "FERNET_KEYS", "DATABASE_URL", "REDIS_URL"])
@pytest.mark.skipif((ROOT / ".env").exists(), reason="the file .env stands in for what is not set")
def test_a_variable_that_is_needed_and_not_set_is_named(name: str) -> None:
    environment = {**TEST_ENVIRONMENT, **SERVERS}
    del environment[name]
    done = check(environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_the_environment_of_the_tests_is_accepted() -> None:
    done = check({**TEST_ENVIRONMENT, **SERVERS})
    assert done.returncode == 0, done.stderr
