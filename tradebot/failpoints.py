"""Named places where a test makes this process die, freeze, wait or be interrupted. Off outside of tests.

TRADEBOT_FAILPOINTS names a folder. A file `NAME` in it arms the failpoint NAME once: JSON with the key
`action` (kill, crash, freeze, timeout, sleep, hold), `seconds` for sleep, and `skip`, how often to pass it
first. Whoever strikes renames the file to `NAME.struck` and writes its process id there.
TRADEBOT_CLOCK_SHIFT moves this process's clock by so many seconds. Settings refuse both where LIVE_TRADING
is on.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

FOLDER = os.environ.get("TRADEBOT_FAILPOINTS", "")
CLOCK_SHIFT = timedelta(seconds=float(os.environ.get("TRADEBOT_CLOCK_SHIFT") or 0))
LONGEST_HOLD_SECONDS = 60.0
SIGNALS = {"kill": signal.SIGKILL, "crash": signal.SIGSEGV, "freeze": signal.SIGSTOP}


def switched_on() -> list[str]:
    """The test-only variables that are set."""
    return [name for name in ("TRADEBOT_FAILPOINTS", "TRADEBOT_CLOCK_SHIFT") if os.environ.get(name)]


def reached(name: str) -> None:
    """Do what a test has armed here; outside of tests nothing. Raises TimeLimitExceeded for `timeout`."""
    if FOLDER:
        _reached(Path(FOLDER, name))


def _reached(armed: Path) -> None:
    claim = armed.with_name(f"{armed.name}.claimed.{os.getpid()}.{time.monotonic_ns()}")
    try:
        armed.rename(claim)
    except FileNotFoundError:
        return
    order = json.loads(claim.read_text())
    if order.get("skip", 0) > 0:
        claim.write_text(json.dumps(order | {"skip": order["skip"] - 1}))
        claim.rename(armed)
        return
    claim.write_text(str(os.getpid()))
    struck = armed.with_name(f"{armed.name}.struck")
    claim.rename(struck)
    _act(order, struck)


def _act(order: dict[str, str | float], struck: Path) -> None:
    action = str(order["action"])
    if action in SIGNALS:
        os.kill(os.getpid(), SIGNALS[action])
    elif action == "sleep":
        time.sleep(float(order["seconds"]))
    elif action == "timeout":
        from dramatiq.middleware.time_limit import TimeLimitExceeded

        raise TimeLimitExceeded
    elif action == "hold":  # until the test removes the file
        end = time.monotonic() + LONGEST_HOLD_SECONDS
        while struck.exists() and time.monotonic() < end:
            time.sleep(0.005)
