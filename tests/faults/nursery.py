"""A process that has everything imported and forks workers at once: a restart costs 0.1 s instead of 2 s.

What it forks is dramatiq's own command line, with its master and its worker processes. One JSON line on
standard input starts a group: {"argv", "log", "shift"}; its process id is answered.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

MODULES = ("django_dramatiq.setup", "bots.actors", "marketdata.actors")


def main() -> None:
    """Import, say so, and fork on request until standard input ends; then end what is left."""
    for name in (*MODULES, "dramatiq.cli", "dramatiq.__main__"):
        importlib.import_module(name)
    groups: set[int] = set()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            become_worker(order)
        groups.add(pid)
        print(pid, flush=True)
        collect(groups)
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def collect(groups: set[int]) -> None:
    """Forget the groups whose leaders have ended, so that none stays a zombie."""
    for group in list(groups):
        if os.waitpid(group, os.WNOHANG)[0]:
            groups.discard(group)


def become_worker(order: dict[str, Any]) -> None:
    """Never returns: dramatiq's command line in a session of its own, with its own clock and log."""
    from dramatiq import cli

    from tradebot import failpoints

    os.setsid()
    log = os.open(Path(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    failpoints.CLOCK_SHIFT = timedelta(seconds=order["shift"])
    code = 1
    try:
        code = cli.main(cli.make_argument_parser().parse_args([MODULES[0], *MODULES[1:], *order["argv"]]))
    finally:
        os._exit(code or 0)


if __name__ == "__main__":
    main()
