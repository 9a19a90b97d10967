"""The yard: workers that can be killed and started again in no time, an exchange, an owner with accounts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cluster import ROOT
from tests.support.environment import child_environment
from tests.support.paper import Paper
from tests.support.waiting import wait_until
from tradebot.warden import Warden, is_running, signal_group


class Nursery:
    """The process of tests/faults/nursery.py and the groups that it forked."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.warden = Warden(grace_seconds=0)
        with (folder / "nursery.log").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.nursery"],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self.warden.watch(self.process.pid, signal.SIGKILL)
        assert self._line() == "ready", (folder / "nursery.log").read_text()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def fork(self, name: str, argv: list[str], shift: float) -> int:
        """Start a group; gives the process id of its leader."""
        assert self.process.stdin is not None
        order = {"argv": argv, "log": str(self.folder / f"{name}.log"), "shift": shift}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        pid = int(self._line())
        self.warden.watch(pid, signal.SIGKILL)
        return pid

    def close(self) -> None:
        """End the process and, by the warden, what it forked."""
        self.process.kill()
        self.process.wait()
        self.warden.close()


@dataclass
class Group:
    """One `dramatiq` with one worker process: what it works on, and its process group while there is one."""

    name: str
    queues: tuple[str, ...]
    threads: int
    shift: float = 0.0
    pid: int = 0
    starts: int = 0

    @property
    def argv(self) -> list[str]:
        """The arguments of dramatiq's command line."""
        return ["--processes", "1", "--threads", str(self.threads), "--queues", *self.queues]


@dataclass
class Yard:
    """Worker groups on the tests' database and Redis, trading on `paper`, with failpoints in a folder."""

    folder: Path
    paper: Paper
    nursery: Nursery
    groups: list[Group] = field(default_factory=list)

    @property
    def failpoints(self) -> Path:
        """The folder that arms failpoints."""
        return self.folder / "failpoints"

    def arm(self, name: str, action: str, **options: float) -> None:
        """Arm a failpoint for whoever reaches it first."""
        waiting = self.failpoints / f".{name}"
        waiting.write_text(json.dumps({"action": action, **options}))
        waiting.rename(self.failpoints / name)

    def disarm(self) -> None:
        """Take all failpoints back; whoever is held goes on."""
        for path in self.failpoints.iterdir():
            path.unlink(missing_ok=True)

    def struck(self, name: str) -> int:
        """The process id of the worker that struck, 0 while nobody has."""
        with contextlib.suppress(FileNotFoundError):
            return int((self.failpoints / f"{name}.struck").read_text() or 0)
        return 0

    def release(self, name: str) -> None:
        """Let the worker go on that is held at this failpoint."""
        (self.failpoints / f"{name}.struck").unlink(missing_ok=True)

    def start(self, group: Group) -> None:
        """Start a group of workers."""
        group.pid = self.nursery.fork(group.name, group.argv, group.shift)
        group.starts += 1

    def group_of(self, pid: int) -> Group:
        """The group that a worker process belongs to."""
        return next(group for group in self.groups if group.pid == os.getpgid(pid))

    def kill(self, group: Group) -> None:
        """SIGKILL for master and workers of a group, if it runs."""
        if not group.pid:
            return
        signal_group(group.pid, signal.SIGKILL)
        self.nursery.warden.forget(group.pid)
        wait_until(lambda: not members(group.pid))
        group.pid = 0

    def terminate(self, group: Group) -> None:
        """SIGTERM to the master, which passes it on: messages under way are finished."""
        os.kill(group.pid, signal.SIGTERM)

    def restart_dead(self) -> int:
        """Start the groups again that have lost their master or their worker; how many that were."""
        count = 0
        for group in self.groups:
            if group.pid and len(members(group.pid)) < 2 and not self._boots(group):
                self.kill(group)
            if not group.pid:
                self.start(group)
                count += 1
        return count

    def _boots(self, group: Group) -> bool:
        """A master forks its worker a moment after it has started."""
        return is_running(group.pid) and age_seconds(group.pid) < 1.0

    def log(self, lines: int = 25) -> str:
        """The ends of all logs, without the bodies of tracebacks."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            told = [line for line in path.read_text(errors="replace").splitlines() if line[:1].strip()]
            parts.append(f"--- {path.name}\n" + "\n".join(told[-lines:]))
        return "\n".join(parts)


def members(group: int) -> list[int]:
    """The running processes of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


def age_seconds(pid: int) -> float:
    """How long ago a process was started (Linux)."""
    with contextlib.suppress(OSError):
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return 1e9


@contextlib.contextmanager
def open_yard(folder: Path, paper: Paper, groups: list[Group], **env: str) -> Iterator[Yard]:
    """A yard with these groups running; all of it is ended at the end of the block."""
    (folder / "failpoints").mkdir(parents=True)
    environment: dict[str, Any] = child_environment(
        PAPER_SPOT_URL=paper.url,
        PAPER_FUTURES_URL=paper.url,
        TRADEBOT_FAILPOINTS=str(folder / "failpoints"),
        DJANGO_SETTINGS_MODULE="tradebot.settings",
        dramatiq_worker_timeout="10",
        dramatiq_queue_prefetch="2",
        dramatiq_restart_delay="200",
        **env,
    )
    nursery = Nursery(folder, environment)
    yard = Yard(folder, paper, nursery, groups)
    try:
        for group in groups:
            yard.start(group)
        yield yard
    finally:
        nursery.close()
