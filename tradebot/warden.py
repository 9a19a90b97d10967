"""Ends a process's children after it, even after a SIGKILL. Standard library only.

The owner (the demo, a test run) starts one warden and tells it, over a pipe, which process groups it has and
which folders are only for now. When the pipe closes, the owner is gone: the warden signals each group, kills
what is left after a grace, and removes the folders. PR_SET_PDEATHSIG would not do: it fires when the thread
ends that forked, and it does not reach grandchildren.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Warden:
    """The owner's end: starts the helper, tells it what to end, and replaces it if it dies."""

    def __init__(self, keep_open: tuple[int, ...] = (), grace_seconds: float = 10.0) -> None:
        """`keep_open` are descriptors of locks that shall be held until the helper is done, too."""
        self._grace_seconds = grace_seconds
        self._keep_open = keep_open
        self._groups: dict[int, signal.Signals] = {}
        self._folders: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int, end_signal: signal.Signals = signal.SIGTERM) -> None:
        """From now on the process group is sent `end_signal`, later SIGKILL, when this process is gone."""
        self._groups[group] = end_signal
        self._tell(f"+ {group} {int(end_signal)}")

    def forget(self, group: int) -> None:
        """The group has ended by itself; its number may be another's soon."""
        self._groups.pop(group, None)
        self._tell(f"- {group}")

    def remove_folder(self, path: str) -> None:
        """The folder is removed when this process is gone."""
        self._folders.add(path)
        self._tell(f"rmtree {path}")

    def close(self) -> None:
        """Let the helper go: it ends what it still knows of, at once, and exits."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
        self._process = None

    @property
    def pid(self) -> int | None:
        """The helper's process id while there is one."""
        return self._process.pid if self._process else None

    def ensure(self) -> None:
        """Start the helper, or start it anew with all that it must know if somebody ended it."""
        if self._process is not None and self._process.poll() is None:
            return
        # -I: its folder holds modules with names of the standard library. -S: a bare one starts in 10 ms.
        self._process = subprocess.Popen(  # noqa: S603 (our own file)
            [sys.executable, "-I", "-S", __file__, str(self._grace_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # nobody who reads our output shall wait for the helper
            stderr=subprocess.DEVNULL,
            pass_fds=self._keep_open,
            cwd="/",
            start_new_session=True,
        )
        known = [f"+ {group} {int(number)}" for group, number in self._groups.items()]
        self._write([*known, *(f"rmtree {path}" for path in sorted(self._folders))])

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.poll() is None:
            self._write([line])
        else:
            self.ensure()

    def _write(self, lines: list[str]) -> None:
        stdin = self._process.stdin if self._process else None
        if stdin is None:
            return
        with contextlib.suppress(
            BrokenPipeError
        ):  # it died just now: the next ensure() tells it everything again
            stdin.write("".join(f"{line}\n" for line in lines).encode())
            stdin.flush()


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended: a zombie, which waits to be collected, does not run."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:  # gone, or there is no /proc
        return sys.platform != "linux" and signal_process(pid, 0)
    return status.rpartition(")")[2].split()[0] != "Z"


def signal_process(pid: int, number: int) -> bool:
    """Send a signal (0: none, only look) to a process; False when it is gone."""
    return _send(os.kill, pid, number)


def signal_group(group: int, number: int) -> bool:
    """Send a signal (0: none, only look) to all of a process group; False when there is nobody."""
    return _send(os.killpg, group, number)


def _send(send: Callable[[int, int], None], to: int, number: int) -> bool:
    try:
        send(to, number)
    except (ProcessLookupError, PermissionError):  # macOS refuses a group of which only zombies are left
        return False
    return True


def main() -> None:
    """The helper: read orders until the pipe closes, then end the groups and remove the folders."""
    groups: dict[int, signal.Signals] = {}
    folders: list[str] = []
    for line in sys.stdin:
        command, _, rest = line.rstrip("\n").partition(" ")
        if command == "+":
            group, number = rest.split()
            groups[int(group)] = signal.Signals(int(number))
        elif command == "-":
            groups.pop(int(rest), None)
        elif command == "rmtree":
            folders.append(rest)
    end_groups(groups, grace_seconds=float(sys.argv[1]))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def end_groups(groups: dict[int, signal.Signals], grace_seconds: float) -> None:
    """Signal each group's leader, who passes it on; when it has ended, or after the grace, kill the rest."""
    left = set(groups)
    for group in groups:
        signal_process(group, groups[group])
    end = time.monotonic() + grace_seconds
    while left and time.monotonic() < end:
        for group in [group for group in left if not is_running(group)]:
            signal_group(group, signal.SIGKILL)
            left.remove(group)
        time.sleep(0.02)
    for group in left:
        signal_group(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
