"""manage.py doctor: exit codes, one document, and a start without database or Redis."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from django.core.management import call_command

from bots import health_checks
from tests.ops.compose import ROOT
from tests.support.environment import child_environment
from tradebot.health import Check

NOWHERE = {
    "DATABASE_URL": "postgresql://tradebot:hunter2@127.0.0.1:1/x",
    "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
}
NAMES = [probe.name for probe in health_checks.ALL]


def doctor(*options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", *options],
        cwd=ROOT,
        env=child_environment(**changes),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def found(monkeypatch):
    """Have the checks find what is put into the list."""
    checks: list[Check] = []
    monkeypatch.setattr("tradebot.health.examine", lambda probes: checks)
    return checks


def test_a_healthy_deployment_is_exit_code_0(found, capsys):
    found.append(Check("database", True, "PostgreSQL answers."))
    call_command("doctor")
    assert capsys.readouterr().out == "ok    database  PostgreSQL answers.\n"


def test_something_wrong_is_exit_code_3_with_what_to_do(found, capsys):
    found += [Check("database", True, "Fine."), Check("feed", False, "It is down.", "Start it.")]
    with pytest.raises(SystemExit) as ended:
        call_command("doctor")
    assert ended.value.code == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["ok    database  Fine.", "FAIL  feed      It is down.", "                -> Start it."]


def test_json_is_one_document(found, capsys):
    found.append(Check("feed", False, "It is down.", "Start it."))
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", json=True)
    assert ended.value.code == 3
    assert json.loads(capsys.readouterr().out) == {
        "healthy": False,
        "checks": [{"name": "feed", "ok": False, "message": "It is down.", "what_to_do": "Start it."}],
    }


def test_it_starts_and_tells_without_database_and_redis(db):
    done = doctor("--json", **NOWHERE)
    assert done.returncode == 3, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert list(checks) == NAMES
    assert [name for name, check in checks.items() if check["ok"]] == ["disk"]
    assert checks["database"]["message"] == "The database does not answer."
    assert checks["redis"]["message"] == "Redis does not answer."
    assert all(check["what_to_do"] for check in checks.values() if not check["ok"])
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.django_db(transaction=True)
def test_with_both_it_finds_them_well_and_the_workers_missing():
    done = doctor()
    assert done.returncode == 3, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.lstrip().startswith("->")]
    assert [line[:4] for line in lines[:4]] == ["ok  ", "ok  ", "ok  ", "FAIL"]
    assert "No worker takes messages from background, entries, exits and 1 more." in lines[3]


def test_an_unknown_option_is_a_usage_error(db):
    done = doctor("--everything")
    assert (done.returncode, done.stdout) == (2, "")
