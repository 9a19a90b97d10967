"""A small supervisor: starts processes, starts again what dies, leaves nothing running. Knows no Django."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tradebot.warden import Warden, signal_group

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 10.0
HEALTHY_SECONDS = 30.0  # whoever lived so long starts with the first delay again
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.1
LOG_BYTES = 5_000_000  # a longer log is put aside when its process starts
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class ProcessSpec:
    """One process to keep alive; `env` comes on top of our own environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Child:
    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0  # when to start it again
    delay_seconds: float = FIRST_DELAY_SECONDS
    restarts: int = 0


class Supervisor:
    """Keeps the processes of `specs` alive, each in a session of its own, its output in `logs_dir`/NAME.log.

    When a process ends, the rest of its process group is killed before it is started again: never two of it.
    When this process itself is killed, the warden ends all groups.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        logs_dir: Path,
        *,
        warden: Warden | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.logs_dir = logs_dir
        self.grace_seconds = grace_seconds
        self.stop_requested = False
        self._warden = warden or Warden(grace_seconds=grace_seconds)
        self._owns_warden = warden is None
        self._children = [_Child(spec) for spec in specs]

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again."""
        return {child.spec.name: child.restarts for child in self._children}

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of those that run now."""
        return {child.spec.name: child.process.pid for child in self._children if child.process is not None}

    def start(self) -> None:
        """Start all. Raises OSError, with nothing left running, when a program does not exist."""
        self.logs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        adopt_orphans()
        self._warden.ensure()
        try:
            for child in self._children:
                self._launch(child)
        except OSError:
            self.stop()
            raise

    def poll(self) -> None:
        """Notice who has died, and start again who is due. Call it some times a second."""
        self._warden.ensure()
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child, now)
            if child.process is None and now >= child.due:
                child.restarts += 1
                try:
                    self._launch(child)
                except OSError as error:
                    logger.error("%s can't be started: %s", child.spec.name, error.strerror)
                    self._put_off(child, now)

    def run(self, keep_going: Callable[[], bool] = lambda: True) -> None:
        """Start, poll until `keep_going()` is false or SIGINT, SIGTERM or SIGHUP comes, and stop."""
        handlers: dict[int, Any] = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            self.start()
            while not self.stop_requested and keep_going():
                self.poll()
                time.sleep(POLL_SECONDS)
        finally:
            self.stop()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """End all: SIGTERM to each process; when it has ended, or after the grace, SIGKILL to its group.

        A second SIGINT or SIGTERM under run() shortens the grace to nothing.
        """
        running = [child for child in self._children if child.process is not None]
        self.stop_requested = False
        for child in running:
            # To the process alone: it passes it on, and a dramatiq worker takes a second one for "at once".
            child.process.terminate()  # type: ignore[union-attr]
        end = time.monotonic() + self.grace_seconds
        while running and time.monotonic() < end and not self.stop_requested:
            running = [child for child in running if self._is_running(child)]
            time.sleep(0.02)
        for child in running:
            self._end_group(child)
        self.stop_requested = True
        if self._owns_warden:
            self._warden.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True

    def _launch(self, child: _Child) -> None:
        path = self.logs_dir / f"{child.spec.name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.rename(path.with_suffix(".log.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as output:
            child.process = subprocess.Popen(  # noqa: S603 (the demo's own commands)
                list(child.spec.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **child.spec.env},
                start_new_session=True,
            )
        child.started = time.monotonic()
        self._warden.watch(child.process.pid)

    def _bury(self, child: _Child, now: float) -> None:
        code = child.process.returncode if child.process else None
        self._end_group(child)
        if now - child.started >= HEALTHY_SECONDS:
            child.delay_seconds = FIRST_DELAY_SECONDS
        logger.warning(
            "%s ended with code %s; it is started again in %.1f s", child.spec.name, code, child.delay_seconds
        )
        self._put_off(child, now)

    def _put_off(self, child: _Child, now: float) -> None:
        child.due = now + child.delay_seconds
        child.delay_seconds = min(child.delay_seconds * 2, LONGEST_DELAY_SECONDS)

    def _is_running(self, child: _Child) -> bool:
        """Whether the process still runs; if not, the rest of its group is ended and the child forgotten."""
        if child.process is not None and child.process.poll() is None:
            return True
        self._end_group(child)
        return False

    def _end_group(self, child: _Child) -> None:
        if child.process is None:
            return
        group = child.process.pid
        signal_group(group, signal.SIGKILL)
        child.process.wait()
        end = time.monotonic() + 5
        while signal_group(group, 0) and time.monotonic() < end:
            collect_orphans(group)
            time.sleep(0.005)
        self._warden.forget(group)
        child.process = None


def adopt_orphans() -> None:
    """Make this process the parent of its orphaned grandchildren (Linux), so that it can collect them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def collect_orphans(group: int) -> None:
    """Collect the ended processes of a group whose leader subprocess has collected already."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
