"""One embedded server program: starting it on a free port, keeping it alive, ending it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tradebot.embedded_files import ServerError, free_port, last_line
from tradebot.warden import Warden

logger = logging.getLogger(__name__)

START_SECONDS = 30.0
STOP_SECONDS = 15.0
RESTART_SECONDS = 1.0
PORT_TRIES = 3


class NotReady(Exception):
    """Raised by a probe while the server does not answer yet."""


@dataclass
class Server:
    """A program that listens on a port of 127.0.0.1.

    `command` gives its arguments for a port, `probe` asks it something and raises NotReady, `end_signals` end
    it, the gentlest first, `standard_input` gives what it reads there (its configuration), `uid` is whom it
    runs as (None: as we do).
    """

    name: str
    log: Path
    warden: Warden
    uid: int | None
    command: Callable[[int], list[str]]
    probe: Callable[[int], None]
    end_signals: Sequence[signal.Signals]
    standard_input: Callable[[int], bytes] = lambda port: b""
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _due: float = field(default=0.0, init=False)

    def start(self, wished_port: int | None = None) -> None:
        """Start on `wished_port` or another free one, and wait until it answers.

        Raises ServerError with a sentence that names the log; nothing is left running then.
        """
        for _ in range(PORT_TRIES):
            self.port = free_port(wished_port)
            self._launch()
            if self._answers():
                return
            if self.process is not None and self.process.poll() is None:
                self.stop()
                raise ServerError(
                    f"The embedded {self.name} did not answer within {START_SECONDS:.0f} s. See {self.log}."
                )
            self.stop()
            if "in use" not in self.log.read_text(errors="replace"):
                break  # else somebody took the port in this moment: try another one
        raise ServerError(f"The embedded {self.name} can't be started: {last_line(self.log)} See {self.log}.")

    def keep_alive(self) -> None:
        """If it has died, start it again on its port; does not wait for it, and tries once a second."""
        if self.process is None or self.process.poll() is None or time.monotonic() < self._due:
            return
        logger.warning("%s ended with code %s; it is started again", self.name, self.process.returncode)
        self.warden.forget(self.process.pid)
        self._launch()

    def stop(self) -> None:
        """End it, and wait for its end; after 15 s by the next signal, at last by SIGKILL."""
        if self.process is None:
            return
        for number in [*self.end_signals, signal.SIGKILL]:
            self.process.send_signal(number)  # does nothing when it has ended
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
                break
        self.warden.forget(self.process.pid)
        self.process = None

    def _launch(self) -> None:
        self._due = time.monotonic() + RESTART_SECONDS
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 (the wheel's program)
                self.command(self.port),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us, and we end it last
                **run_as(self.uid),
            )
        self.warden.watch(self.process.pid, self.end_signals[0])
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(self.standard_input(self.port))
                self.process.stdin.close()

    def _answers(self) -> bool:
        end = time.monotonic() + START_SECONDS
        while self.process is not None and self.process.poll() is None and time.monotonic() < end:
            try:
                self.probe(self.port)
            except NotReady:
                time.sleep(0.02)
            else:
                return True
        return False


def run_as(uid: int | None) -> dict[str, Any]:
    """Arguments of subprocess: whom to run as, and an environment without ours (PGPORT, secrets ...)."""
    identity: dict[str, Any] = {"env": {"PATH": os.defpath, "LC_ALL": "C"}, "cwd": "/"}
    if uid is not None:
        identity |= {"user": uid, "group": uid, "extra_groups": []}
    return identity
