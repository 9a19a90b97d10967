"""Real worker processes of the project on the tests' database and Redis, and waiting until they are idle."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dramatiq

from tests.support.environment import child_environment
from tradebot.processes import ProcessSpec, Supervisor

QUEUES = ("screen", "exits", "entries")  # a screen's messages are sent before it is acknowledged
RUNNING: list[Supervisor] = []
ROOT = Path(__file__).resolve().parents[2]


def worker_spec(
    name: str, env: Mapping[str, str], *queues: str, processes: int = 1, threads: int = 2
) -> ProcessSpec:
    """One `rundramatiq` with its own processes, quick to pick messages up."""
    argv = [
        *[sys.executable, str(ROOT / "manage.py"), "rundramatiq", "--path", str(ROOT)],
        *["--processes", str(processes), "--threads", str(threads), "--queues", *queues],
    ]
    quick = {"dramatiq_worker_timeout": "10", "dramatiq_queue_prefetch": "2"}
    return ProcessSpec(name, argv, {**quick, **env})


@contextmanager
def running_workers(logs_dir: Path, specs: list[ProcessSpec]) -> Iterator[Supervisor]:
    """The workers, until the block ends; each is started again when it dies and poll() is called."""
    supervisor = Supervisor(specs, logs_dir)
    supervisor.start()
    RUNNING.append(supervisor)
    try:
        yield supervisor
    finally:
        RUNNING.remove(supervisor)
        supervisor.stop()


def two_workers(paper_url: str, **changes: str) -> list[ProcessSpec]:
    """Screens in one process, runs in another with four threads, as in production."""
    env = child_environment(PAPER_SPOT_URL=paper_url, PAPER_FUTURES_URL=paper_url, **changes)
    return [
        worker_spec("screen", env, "screen", threads=1),
        worker_spec("trading", env, "exits", "entries", threads=4),
    ]


def wait_until_idle(timeout_seconds: float = 60.0, *, every_seconds: float = 0.002) -> None:
    """Wait until no message is queued or being worked on. Raises TimeoutError with the queue's name.

    Each look costs the machine some 0.5 ms, in this process and in Redis.
    """
    broker = dramatiq.get_broker()
    end = time.monotonic() + timeout_seconds
    while True:
        busy = next((name for name in QUEUES if broker.do_qsize(name)), None)  # type: ignore[attr-defined]
        if busy is None:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"queue {busy} is not empty after {timeout_seconds} s")
        time.sleep(every_seconds)


def tail(logs_dir: Path, lines: int = 30) -> str:
    """The end of every log, for a failing test."""
    parts = []
    for path in sorted(logs_dir.glob("*.log")):
        parts.append(f"--- {path.name}\n" + "\n".join(path.read_text().splitlines()[-lines:]))
    return "\n".join(parts)


def run_python(*argv: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command of the project as a process of its own."""
    return subprocess.run(
        [sys.executable, *argv], cwd=ROOT, env=dict(env), capture_output=True, text=True, timeout=120
    )
