"""The supervisor, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tradebot import processes
from tradebot.processes import ProcessSpec, Supervisor
from tradebot.warden import is_running

# Writes its pid, and that of a child of its own, to argv[1]; argv[2] "deaf" ignores SIGTERM.
FAMILY = """
import os, signal, subprocess, sys, time
if sys.argv[2:] == ["deaf"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
print("hello", os.environ.get("COLOUR"), flush=True)
time.sleep(600)
"""

SUPERVISE = """
import json, sys
from pathlib import Path
from tradebot.processes import ProcessSpec, Supervisor
logs, *commands = sys.argv[1:]
specs = [ProcessSpec(f"p{number}", json.loads(command)) for number, command in enumerate(commands)]
supervisor = Supervisor(specs, Path(logs), grace_seconds=1)
supervisor.run()
print(json.dumps(supervisor.restarts))
"""


class Family:
    """A process and its child, started by somebody."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self.path = path
        self.argv = [sys.executable, "-c", FAMILY, str(path), *arguments]

    def pids(self) -> list[int]:
        wait_until(self.path.exists)
        return [int(pid) for pid in self.path.read_text().split()]


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    yield from hold(Family(tmp_path / "family"))


@pytest.fixture
def deaf_family(tmp_path: Path) -> Iterator[Family]:
    yield from hold(Family(tmp_path / "deaf", "deaf"))


def hold(family: Family) -> Iterator[Family]:
    yield family
    if family.path.exists():
        for pid in family.pids():
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    started: list[Supervisor] = []

    def start(*specs: ProcessSpec, grace_seconds: float = 5) -> Supervisor:
        supervisor = Supervisor(specs, tmp_path / "logs", grace_seconds=grace_seconds)
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()


def gone(pids: list[int]) -> bool:
    return not any(is_running(pid) for pid in pids)


def test_output_goes_to_a_private_log_with_the_process_own_environment(
    supervise: Callable[..., Supervisor], family: Family, tmp_path: Path
) -> None:
    supervise(ProcessSpec("worker", family.argv, {"COLOUR": "blue"}))
    log = tmp_path / "logs/worker.log"

    wait_until(lambda: log.exists() and log.read_text() == "hello blue\n")
    assert log.stat().st_mode & 0o777 == 0o600


def test_stop_ends_processes_and_their_children(supervise: Callable[..., Supervisor], family: Family) -> None:
    supervisor = supervise(ProcessSpec("worker", family.argv))
    pids = family.pids()

    supervisor.stop()

    assert gone(pids)
    assert supervisor.pids == {}


def test_stop_lets_a_process_finish(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    polite = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('finished'), sys.exit()))\n"
        "print('begun')\n"
        "time.sleep(600)\n"
    )
    supervisor = supervise(ProcessSpec("worker", [sys.executable, "-c", polite]))
    log = tmp_path / "logs/worker.log"
    wait_until(lambda: log.read_text() == "begun\n")

    supervisor.stop()

    assert log.read_text() == "begun\nfinished\n"


def test_stop_kills_who_does_not_listen_after_the_grace(
    supervise: Callable[..., Supervisor], deaf_family: Family
) -> None:
    supervisor = supervise(ProcessSpec("worker", deaf_family.argv), grace_seconds=0.2)
    pids = deaf_family.pids()

    supervisor.stop()

    assert gone(pids)


def test_what_dies_is_started_again_without_its_old_children(
    supervise: Callable[..., Supervisor], family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_DELAY_SECONDS", 0.05)
    supervisor = supervise(ProcessSpec("worker", family.argv))
    first = family.pids()
    family.path.unlink()
    os.kill(first[0], signal.SIGKILL)

    wait_until(lambda: supervisor.poll() or supervisor.restarts == {"worker": 1})

    assert gone(first)
    second = family.pids()
    assert not set(first) & set(second)
    assert not gone(second)
    assert supervisor.pids == {"worker": second[0]}


def test_delays_double_up_to_ten_seconds_and_begin_anew_after_a_healthy_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(processes.time, "monotonic", lambda: now)
    supervisor = Supervisor([ProcessSpec("worker", ["true"])], tmp_path)
    child = supervisor._children[0]
    delays = []
    for lived_seconds in [0, 1, 1, 1, 1, 1, 1, 30, 1]:
        now += lived_seconds
        supervisor._bury(child, now)
        delays.append(child.due - now)
        child.started = now

    assert delays == [0.5, 1, 2, 4, 8, 10, 10, 0.5, 1]


def test_a_program_that_does_not_exist_stops_the_start_and_all_before_it(
    supervise: Callable[..., Supervisor], family: Family
) -> None:
    with pytest.raises(FileNotFoundError):
        supervise(ProcessSpec("worker", family.argv), ProcessSpec("typo", ["/no/such/program"]))

    assert not family.path.exists() or gone(family.pids())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_supervisor_ends_all(
    run_script: Callable[..., subprocess.Popen[str]], family: Family, tmp_path: Path, number: signal.Signals
) -> None:
    supervisor = run_script(SUPERVISE, str(tmp_path / "logs"), json.dumps(family.argv))
    pids = family.pids()

    supervisor.send_signal(number)
    output, _ = supervisor.communicate(timeout=15)

    assert (supervisor.returncode, json.loads(output)) == (0, {"p0": 0})
    assert gone(pids)


def test_all_end_when_the_supervisor_is_killed(
    run_script: Callable[..., subprocess.Popen[str]], family: Family, deaf_family: Family, tmp_path: Path
) -> None:
    supervisor = run_script(
        SUPERVISE, str(tmp_path / "logs"), json.dumps(family.argv), json.dumps(deaf_family.argv)
    )
    pids = family.pids() + deaf_family.pids()

    supervisor.kill()

    wait_until(lambda: gone(pids), seconds=20)


def test_a_killed_warden_is_replaced_and_knows_everything(
    run_script: Callable[..., subprocess.Popen[str]], family: Family, tmp_path: Path
) -> None:
    supervisor = run_script(SUPERVISE, str(tmp_path / "logs"), json.dumps(family.argv))
    pids = family.pids()

    def wardens() -> list[int]:
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"warden.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    (first,) = wardens()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: wardens() not in ([], [first]))
    supervisor.kill()

    wait_until(lambda: gone(pids))
