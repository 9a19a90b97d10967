"""Prepares `manage.py demo` before Django reads its settings: folder, secrets, ports, servers, variables."""

from __future__ import annotations

import argparse
import atexit
import base64
import contextlib
import fcntl
import json
import os
import secrets
import shlex
import shutil
import socket
import string
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError

from tradebot.embedded import ServerError, Servers
from tradebot.embedded_files import claim_port, write_private
from tradebot.warden import Warden

DEFAULT_DATA = Path(".data/demo")
# Below the range from which the system takes the near ends of connections (32768 and up on Linux): a process
# that is started again finds its port free.
WEB_PORTS = range(8000, 8100)
PAPER_PORTS = range(8900, 9000)
HELP = "Starts PostgreSQL, Valkey, a paper exchange, web, workers, scheduler and feed, with demo bots."
LOCK_WAIT_SECONDS = 20.0
LONGEST_SECONDS = 10**8
OWN_NAMES = (
    "demo.json",
    "env",
    "demo.lock",
    "servers.json",
    "servers",
    "logs",
    "paper",
)  # what --fresh may remove
FAILED, USAGE, REFUSED = 1, 2, 4  # exit codes


@dataclass
class DemoSession:
    """What the demo command needs to know of its surroundings."""

    data_dir: Path
    web_port: int
    paper_port: int | None  # None: PAPER_SPOT_URL was set, so another exchange is used and none is started
    admin_password: str
    fresh: bool
    servers: Servers
    warden: Warden
    claims: list[socket.socket]  # on the two ports, for as long as the session lives
    began: float = field(default_factory=time.monotonic)  # seconds of time.monotonic() at the start


class DemoRefused(Exception):
    """Raised when the demo can't start; carries the exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


_session: DemoSession | None = None


def current_demo() -> DemoSession:
    """The session that prepare_demo_environment() has made. Raises LookupError where there is none."""
    if _session is None:
        raise LookupError("prepare_demo_environment() was not called")
    return _session


def prepare_demo_environment(argv: list[str]) -> None:
    """Make the folder, start the servers and set os.environ; the session is current_demo()'s afterwards.

    On failure it prints a sentence and exits: 1 a server can't start, 2 a bad option, 4 the folder is in use.
    The servers stop when this process ends, in whatever way.
    """
    global _session  # manage.py and the command share no other place
    began = time.monotonic()
    options = _parse(argv)
    try:
        _session = _prepare(options)
    except DemoRefused as refusal:
        _end(str(refusal), refusal.code)
    except ServerError as error:
        _end(str(error), FAILED)
    except OSError as error:
        _end(f"The data folder {options.data} can't be used: {error.strerror}.", USAGE)
    _session.began = began


def add_options(parser: argparse.ArgumentParser) -> None:
    """The demo's options: read here before Django starts, and shown by the command's help."""
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help=f"data folder ({DEFAULT_DATA})")
    parser.add_argument("--port", type=int, help="port of the web process (8000 or the next free)")
    parser.add_argument("--fresh", action="store_true", help="begin with an empty data folder")
    parser.add_argument("--exit-after", type=float, metavar="SECONDS", help="stop by itself")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout at the end")


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = BaseCommand().create_parser("manage.py", "demo", allow_abbrev=False)  # with Django's own options
    parser.description = HELP
    add_options(parser)
    try:
        options = parser.parse_args(argv[2:])
    except CommandError as error:
        _end(str(error), USAGE)
    if options.port is not None and not 1 <= options.port <= 65535:
        _end(f"--port must be from 1 to 65535, not {options.port}.", USAGE)
    if options.exit_after is not None and not 0 < options.exit_after < LONGEST_SECONDS:
        _end("--exit-after must be a number of seconds above 0.", USAGE)
    return options


def _prepare(options: argparse.Namespace) -> DemoSession:
    data_dir = _folder(options.data)
    lock = _lock(data_dir)
    if options.fresh:
        _remove(data_dir)
    memory = _memory(data_dir)
    claims = []
    memory["web_port"], claim = _web_port(options.port, memory.get("web_port"))
    claims.append(claim)
    has_own_exchange = not os.environ.get("PAPER_SPOT_URL")
    if has_own_exchange:
        memory["paper_port"], claim = _claim(memory.get("paper_port"), PAPER_PORTS)
        claims.append(claim)
    write_private(data_dir / "demo.json", json.dumps(memory, indent=1))
    warden = Warden(keep_open=(lock,))
    servers = Servers(data_dir, warden=warden)
    atexit.register(warden.close)
    atexit.register(servers.stop)  # runs first
    _set_environment(memory, servers.start())
    write_private(data_dir / "env", _as_shell())
    return DemoSession(
        data_dir=data_dir,
        web_port=memory["web_port"],
        paper_port=memory["paper_port"] if has_own_exchange else None,
        admin_password=memory["admin_password"],
        fresh=options.fresh,
        servers=servers,
        warden=warden,
        claims=claims,
    )


def _folder(path: Path) -> Path:
    """The data folder, made or checked: never a folder with other people's files, for --fresh removes."""
    if path.exists() and not path.is_dir():
        raise DemoRefused(f"--data {path} is a file; name a folder, or none for {DEFAULT_DATA}.", USAGE)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise DemoRefused(f"--data {path} can't be written to; name another folder.", USAGE)
    if any(path.iterdir()) and not (path / "demo.lock").exists():
        raise DemoRefused(f"--data {path} holds other files; name a new or an empty folder.", USAGE)
    return path.resolve()


def _lock(data_dir: Path) -> int:
    """Hold the folder. A demo that was killed still cleans up for some seconds: that is waited for."""
    descriptor = os.open(data_dir / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode().strip()
            if _is_alive(holder) or time.monotonic() > end:
                os.close(descriptor)
                raise DemoRefused(
                    f"A demo (process {holder or 'unknown'}) is running on {data_dir}; stop it, or give this "
                    "one a folder of its own with --data.",
                    REFUSED,
                ) from None
            time.sleep(0.1)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            return descriptor


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(data_dir: Path) -> None:
    Servers(data_dir).remove_files()
    for name in OWN_NAMES:
        path = data_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        elif name != "demo.lock":
            path.unlink(missing_ok=True)


def _memory(data_dir: Path) -> dict[str, Any]:
    """What an earlier start has chosen, or new secrets."""
    path = data_dir / "demo.json"
    with contextlib.suppress(FileNotFoundError):
        try:
            known = dict(json.loads(path.read_text()))
            return {name: known[name] for name in _new_memory()} | known
        except (ValueError, KeyError, TypeError):
            raise DemoRefused(
                f"{path} is damaged, and the demo's keys with it; start anew with --fresh.", USAGE
            ) from None
    return _new_memory()


def _new_memory() -> dict[str, Any]:
    nonce = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))
    return {
        "secret_key": secrets.token_urlsafe(48),
        "fernet_keys": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "deployment_nonce": nonce,
        "admin_password": secrets.token_urlsafe(12),
    }


def _web_port(asked: int | None, remembered: int | None) -> tuple[int, socket.socket]:
    if asked is None:
        return _claim(remembered, WEB_PORTS)
    claimed = claim_port([asked])
    if claimed is None:
        raise DemoRefused(
            f"--port {asked} is taken by another program, or needs more rights; name another one, or none.",
            USAGE,
        )
    return claimed


def _claim(remembered: int | None, ports: range) -> tuple[int, socket.socket]:
    claimed = claim_port([*([remembered] if remembered else []), *ports])
    if claimed is None:
        raise DemoRefused(f"All ports from {ports[0]} to {ports[-1]} of 127.0.0.1 are taken.", FAILED)
    return claimed


def _set_environment(memory: dict[str, Any], servers: dict[str, str]) -> None:
    """What belongs to the folder is set; what points elsewhere may be given and wins."""
    os.environ.update(servers)
    os.environ.update(
        SECRET_KEY=memory["secret_key"],
        FERNET_KEYS=memory["fernet_keys"],
        DEPLOYMENT_NONCE=memory["deployment_nonce"],
        LIVE_TRADING="0",
        DEBUG="0",
        CLOCK="wall",
        SYMBOL_SOURCES="paper",
    )
    if not os.environ.get("PAPER_SPOT_URL"):
        os.environ["PAPER_SPOT_URL"] = f"http://127.0.0.1:{memory['paper_port']}"
    if not os.environ.get("PAPER_FUTURES_URL"):
        os.environ["PAPER_FUTURES_URL"] = os.environ["PAPER_SPOT_URL"]
    os.environ.setdefault("ALLOWED_HOSTS", "127.0.0.1,localhost")
    os.environ.setdefault("EGRESS_ID", "demo")


def _as_shell() -> str:
    """The demo's variables for other commands on its data: `set -a; . .data/demo/env; set +a`."""
    names = (
        *("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "FERNET_KEYS", "DEPLOYMENT_NONCE", "ALLOWED_HOSTS"),
        *("PAPER_SPOT_URL", "PAPER_FUTURES_URL", "EGRESS_ID", "SYMBOL_SOURCES", "LIVE_TRADING"),
    )
    return "".join(f"{name}={shlex.quote(os.environ[name])}\n" for name in names)


def _end(sentence: str, code: int) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    sys.exit(code)
