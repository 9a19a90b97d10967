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
    ("EMAIL_URL", f"https://u:{PASSWORD}@mail.example.com"),
    ("EMAIL_URL", f"smtp://u:{PASSWORD}@mail.example.com:port"),
    ("EMAIL_URL", "smtp://"),
    ("WEBHOOK_ALLOWED_HOSTS", "127.0.0.1"),
    ("WEBHOOK_ALLOWED_HOSTS", "127.0.0.1:8080,http://127.0.0.1:8081"),
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


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "console.EmailBackend"),
        ("smtp://127.0.0.1", "BoundedEmailBackend 127.0.0.1 25   False False"),
        ("smtp+tls://u%40x:p%2Fw@a.example", "BoundedEmailBackend a.example 587 u@x p/w True False"),
        ("smtps://u:p@mail.example.com:4650", "BoundedEmailBackend mail.example.com 4650 u p False True"),
    ],
)
def test_the_mail_server_is_read_from_one_address(address: str, told: str) -> None:
    names = ["HOST", "PORT", "HOST_USER", "HOST_PASSWORD", "USE_TLS", "USE_SSL"]
    wanted = names if address else []
    code = (
        "from tradebot import settings as s\n"
        f"print(s.EMAIL_BACKEND.split('.', 1)[1], *(getattr(s, 'EMAIL_' + name) for name in {wanted}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **TEST_ENVIRONMENT, **SERVERS, "EMAIL_URL": address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip().endswith(told), done.stdout + done.stderr
