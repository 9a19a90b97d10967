"""Rehearsals: named scenarios, files of faults, and what is said of wrong ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import TEST_ENVIRONMENT
from tests.support.paper import ROOT, Paper, start_paper
from trading.paper.faults import KINDS, FaultSwitch
from trading.paper.scenarios import SCENARIOS, read_faults

DOCS = ROOT / "docs" / "paper-exchange.md"


def program(*options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "trading.paper", *options]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_can_be_switched_on(name: str) -> None:
    for fault in read_faults(name):
        FaultSwitch().make(fault)


def test_a_scenario_is_on_from_the_start(tmp_path: Path) -> None:
    with start_paper(tmp_path, symbols=5, faults="lost-answers") as paper:
        kinds = [one["kind"] for one in paper.control("/paper/faults")["faults"]]
        assert kinds == ["drop_response", "drop_response"]


@pytest.mark.parametrize("shape", [lambda rows: rows, lambda rows: {"faults": rows}])
def test_a_file_of_faults_is_on_from_the_start(tmp_path: Path, shape: Any) -> None:
    rows = [
        {"kind": "rate_limited", "path": "/api/v3/time", "retry_after": 7},
        {"kind": "halt", "symbol": "BTCUSDT"},
    ]
    path = tmp_path / "faults.json"
    path.write_text(json.dumps(shape(rows)))
    with start_paper(tmp_path, symbols=5, faults=path) as paper:
        answer = paper.public("/api/v3/time")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        body = paper.public("/api/v3/exchangeInfo", symbol="BTCUSDT").json()
        assert body["symbols"][0]["status"] == "BREAK"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "neither a readable file nor one of outage"),
        ("not json", "is not JSON"),
        ("[]", "must be a list of faults"),
        ('{"faults": 5}', "must be a list of faults"),
        ('[{"kind": "gremlins"}]', "fault 1: kind must be one of"),
        ('[{"kind": "latency", "seconds": 1}, {"kind": "latency"}]', "fault 2: latency needs seconds"),
        ('[{"kind": "latency", "seconds": 1, "speed": 2}]', "does not take speed"),
        ('[{"kind": "halt", "symbol": "NOPE"}]', "NOPE is not listed here"),
    ],
)
def test_wrong_faults_exit_2_with_a_sentence(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "faults.json"
    if content is not None:
        path.write_text(content)
    ended = program("--symbols", "5", "--faults", str(path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_list_of_faults_names_every_scenario_and_kind() -> None:
    ended = program("--list-faults")
    assert ended.returncode == 0
    for name in (*SCENARIOS, *KINDS):
        assert f"  {name} " in ended.stdout


def test_the_django_command_takes_the_same_options() -> None:
    urls = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    environment = {**os.environ, **TEST_ENVIRONMENT, **urls}  # neither is reached

    def command(*options: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "manage.py", "paper_exchange", *options]
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    listed = command("--list-faults")
    assert (listed.returncode, listed.stdout.splitlines()[0]) == (0, "Scenarios (--faults NAME):")
    wrong = command("--faults", "doomsday")
    assert wrong.returncode == 2
    assert "doomsday is neither a readable file nor one of" in wrong.stderr


def test_the_docs_name_every_scenario_kind_and_option(paper: Paper) -> None:
    text = DOCS.read_text()
    told = paper.control("/paper/faults/kinds")
    assert {one["kind"] for one in told["kinds"]} == set(KINDS)
    for name in (*SCENARIOS, *KINDS, *told["reasons"]):
        assert f"`{name}`" in text, name
    for one in told["kinds"]:
        for option in (*one["needs"], *one["takes"]):
            assert f"`{option}`" in text, option
