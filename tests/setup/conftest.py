"""Servers, scripts and waiting for the tests of the set-up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tradebot.embedded import Servers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make_servers(tmp_path: Path) -> Iterator[Callable[..., Servers]]:
    """Servers of a data folder of this test; stopped, and their files removed, at the end.

    Under root the folder is one that the servers' user can't reach, for pytest's folders are private.
    """
    made: list[Servers] = []

    def make(**options: object) -> Servers:
        servers = Servers(tmp_path / "a folder", **{"durable": False, "environ": {}} | options)  # type: ignore[arg-type]
        made.append(servers)
        return servers

    yield make
    for servers in made:
        servers.stop()
    for servers in made:
        servers.remove_files()


@pytest.fixture
def run_script() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python script that imports the project; killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def run(source: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", source, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
