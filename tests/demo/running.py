"""A demo as a process of its own: what it prints, the processes under it, its database, its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import requests

from tests.support.environment import TEST_ENVIRONMENT
from tests.support.waiting import wait_until
from tradebot.embedded import Servers

ROOT = Path(__file__).resolve().parents[2]
OF_THE_TESTS = {*TEST_ENVIRONMENT, "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
GREETING_SECONDS = 90
Process = tuple[int, str]  # id, and when it was started: ids come again


class RunningDemo:
    """`manage.py demo` with its own process group, as a shell starts it."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.out, self.err = (free_name(data, end) for end in ("out", "err"))
        self.seen: set[Process] = set()  # every process that it ever had
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", "--data", str(self.data), *arguments],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if name not in OF_THE_TESTS},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        """All that it printed so far."""
        return self.out.read_text() + self.err.read_text()

    def find(self, pattern: str) -> str:
        """What the pattern's group matches in what was printed."""
        found = re.search(pattern, self.printed)
        assert found, f"no {pattern!r} in {self.printed}"
        return found[1]

    def wait_for_greeting(self) -> None:
        """Wait until it has said where it is."""
        wait_until(lambda: "Ctrl-C ends everything" in self.printed or self._is_over(), GREETING_SECONDS)
        assert not self._is_over() or "Ctrl-C" in self.printed, self.printed

    def _is_over(self) -> bool:
        return self.process.poll() is not None

    @property
    def address(self) -> str:
        """Of the control room."""
        return self.find(r"Control room +(\S+)")

    @property
    def password(self) -> str:
        """Of the admin."""
        return self.find(r"Password +(\S+)")

    @property
    def exchange(self) -> str:
        """Address of the paper exchange."""
        return self.find(r"active on (\S+?)\.\n")

    def wait_for_web(self) -> requests.Response:
        """Wait until the control room answers; gives its first page, after redirects."""
        end = time.monotonic() + 60
        while True:
            try:
                with requests.Session() as session:
                    session.trust_env = False
                    return session.get(self.address, timeout=10)
            except requests.ConnectionError:
                assert time.monotonic() < end, self.printed
                time.sleep(0.1)

    def family(self) -> set[Process]:
        """Its processes that run now, itself included; they are remembered in `seen`."""
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int(_stat(int(folder.name))[1])
        family = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        found = set()
        for pid in family:
            with contextlib.suppress(OSError):
                found.add((pid, _stat(pid)[19]))
        self.seen |= found
        return found

    def left_running(self) -> list[str]:
        """The command lines of its processes that still run."""
        return [_command(pid) for pid, started in self.seen if _is_running(pid, started)]

    def leader_of(self, *words: str) -> int:
        """The process directly under the demo whose command line holds all the words; 0 if there is none."""
        for pid, _ in self.family():
            with contextlib.suppress(OSError):
                if _stat(pid)[1] == str(self.process.pid) and all(word in _command(pid) for word in words):
                    return pid
        return 0

    def variable(self, name: str) -> str:
        """An environment variable of its feed."""
        text = Path(f"/proc/{self.leader_of('manage.py feed')}/environ").read_text()
        return dict(line.partition("=")[::2] for line in text.split("\0"))[name]

    def kill_group(self, *words: str) -> int:
        """SIGKILL for one of its parts with all that belongs to it; gives the part's id."""
        pid = self.leader_of(*words)
        assert pid, f"no process {words}"
        os.killpg(pid, signal.SIGKILL)
        return pid

    def end(self) -> None:
        """Whatever happened: nothing is left, no process and no file of the servers."""
        with contextlib.suppress(ProcessLookupError):
            if not self._is_over():
                self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        Servers(self.data).remove_files()


def free_name(data: Path, end: str) -> Path:
    """A file beside the data folder, of this start alone."""
    names = (data.with_name(f"{data.name}-{number}.{end}") for number in range(1, 100))
    return next(path for path in names if not path.exists())


def query(database_url: str, statement: str) -> list[Any]:
    """Rows of a database."""
    with contextlib.closing(psycopg2.connect(database_url)) as session, session.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def is_open(url: str) -> bool:
    """Whether anybody listens there."""
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def mentions(text: str) -> list[str]:
    """Command lines of running processes that hold the text, in their arguments or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes():
                found.append(_command(int(folder.name)))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third one on: state, parent, ..., start time (20th)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_running(pid: int, started: str) -> bool:
    try:
        fields = _stat(pid)
    except OSError:
        return False
    return fields[19] == started and fields[0] != "Z"


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
