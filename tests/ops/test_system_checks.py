"""The system checks, one by one, and `check --deploy` with the environment of production."""

from __future__ import annotations

import os
import subprocess
import sys

import dramatiq
import pytest

from tests.ops.compose import ROOT
from tests.support.environment import TEST_ENVIRONMENT
from tradebot import checks
from tradebot.timings import DEFAULT

PRODUCTION = {
    **TEST_ENVIRONMENT,
    "SECRET_KEY": "zT4-fq9Wm2xK7vLcR0ypDgH6sBn1eUaJ8iOtXhVwQb3ZkNrMdF5",
    "FERNET_KEYS": "mC2vQ8xL5kT0zR7nWb4yHs9dJf1gPa6eUiOqXtVwKcE",
    "ALLOWED_HOSTS": "trade.example.org",
    "DEPLOYMENT_NONCE": "a1b2c3",
    "HTTPS": "1",
    "LOG_FORMAT": "json",
    "METRICS_TOKEN": "b7Qx2Lk9Vn4Tz8Rw",
    "DATABASE_URL": "postgresql://u@127.0.0.1:1/db",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


def deploy_check(**changes: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check --deploy` as CI would run it."""
    usual = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**usual, **PRODUCTION, **changes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ids(found) -> list[str]:
    return [message.id for message in found]


def test_the_environment_of_production_passes_the_deployment_check():
    done = deploy_check()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"HTTPS": "0"}, "security.W004"),
        ({"SECRET_KEY": "short"}, "security.W009"),
        ({"DEBUG": "1"}, "security.W018"),
        ({"ALLOWED_HOSTS": ""}, "security.W020"),
        ({"ALLOWED_HOSTS": "*"}, "tradebot.W001"),
        ({"DEPLOYMENT_NONCE": "000000"}, "tradebot.W002"),
    ],
)
def test_what_is_wrong_on_a_server_fails_the_deployment_check(changes, number):
    done = deploy_check(**changes)
    assert done.returncode == 1
    assert number in done.stderr


def test_the_settings_of_the_tests_pass_every_check():
    for check in (checks.check_keys, checks.check_broker, checks.check_actors, checks.check_live):
        assert check(None) == []


@pytest.mark.parametrize(
    ("keys", "number"),
    [([], "E001"), (["short"], "E001"), (["k" * 32, "k" * 32], "E002"), (["s" * 40], "E003")],
)
def test_keys_that_protect_little_are_errors(settings, keys, number):
    settings.SECRET_KEY, settings.FERNET_KEYS = "s" * 40, keys
    assert ids(checks.check_keys(None)) == [f"tradebot.{number}"]


@pytest.mark.parametrize("name", checks.NEEDED_MIDDLEWARE)
def test_each_needed_middleware_is_missed(settings, name):
    listed = [path for path in settings.DRAMATIQ_BROKER["MIDDLEWARE"] if path != name]
    settings.DRAMATIQ_BROKER = {**settings.DRAMATIQ_BROKER, "MIDDLEWARE": listed}
    [message] = checks.check_broker(None)
    assert (message.id, message.msg) == (
        "tradebot.E004",
        f"DRAMATIQ_BROKER does not list the middleware {name}.",
    )


@pytest.fixture
def declare():
    """Declare an actor on the project's broker; it is taken away again."""
    broker, made = dramatiq.get_broker(), []

    def add(**options):
        made.append(dramatiq.actor(actor_name="of-the-test", **options)(lambda: None))

    yield add
    for actor in made:
        del broker.actors[actor.actor_name]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"queue_name": "entries", "time_limit": 1000}, ["E005"]),
        ({"queue_name": "exits", "time_limit": 1000, "max_retries": 3}, ["E005"]),
        ({"queue_name": "screen", "time_limit": 1000, "max_retries": 0}, []),
        ({"queue_name": "background", "time_limit": 1000, "max_retries": 3}, []),
        ({"queue_name": "background"}, ["E006"]),
        ({"queue_name": "exits", "time_limit": 180_000, "max_retries": 0}, ["E006"]),
    ],
)
def test_actors_that_can_trade_are_never_retried_and_all_end_in_time(declare, options, expected):
    declare(**options)
    found = [message for message in checks.check_actors(None) if "of-the-test" in message.msg]
    assert ids(found) == [f"tradebot.{number}" for number in expected]


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"DEBUG": True}, "E007"),
        ({"CLOCK": "stepped"}, "E008"),
        ({"TIMINGS": DEFAULT.scaled(0.5)}, "E008"),
        ({"DEPLOYMENT_NONCE": "000000"}, "E009"),
    ],
)
def test_real_money_wants_real_settings(settings, changes, number):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert checks.check_live(None) == []
    settings.LIVE_TRADING = True
    assert ids(checks.check_live(None)) == [f"tradebot.{number}"]


def test_with_https_plain_http_is_redirected_except_for_machines(client, db, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert client.get("/admin/login/").status_code == 301
    assert client.get("/healthz").status_code == 200
    assert client.get("/admin/login/", HTTP_X_FORWARDED_PROTO="https").status_code != 301
