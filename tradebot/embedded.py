"""PostgreSQL and Valkey from wheels, for the demo and the tests. Knows no Django."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tradebot.embedded_files import (
    Programs,
    ServerError,
    copy_programs,
    end_orphan,
    find_programs,
    is_reachable,
    last_line,
    own_folder,
    server_place,
    server_user,
    write_private,
)
from tradebot.embedded_server import NotReady, Server, run_as
from tradebot.warden import Warden

__all__ = ["ServerError", "Servers"]

DATABASE = "tradebot"  # the database, and its owner
POSTGRES_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests: nothing has to survive a power cut.
FORGETFUL_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Servers:
    """Both servers of one data folder, on free ports of 127.0.0.1, with passwords of their own.

    A server whose variable (DATABASE_URL, REDIS_URL) is set in `environ` is not started: the variable wins.
    Ports and passwords are remembered in `servers.json` (0600) of the data folder, logs are under `logs/`.
    The caller sees to it that one process at a time uses a data folder.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        environ: Mapping[str, str] | None = None,
        warden: Warden | None = None,
    ) -> None:
        given = os.environ if environ is None else environ
        self.data_dir = data_dir.resolve()
        self.durable = durable
        self.warden = warden or Warden()
        self._owns_warden = warden is None
        self._wanted = [name for name in ("DATABASE_URL", "REDIS_URL") if not given.get(name)]
        self._running: list[Server] = []
        self._uid = server_user()
        self._memory: dict[str, Any] = {}
        self._place = self.data_dir

    def start(self) -> dict[str, str]:
        """Start what is wanted, wait until it answers, and return the variables to set.

        Raises ServerError with a sentence that names the log file; nothing is left running then.
        """
        if not self._wanted:
            return {}
        try:
            programs = self._prepare()
            variables = {}
            if "REDIS_URL" in self._wanted:
                variables["REDIS_URL"] = self._start_valkey(programs)
            if "DATABASE_URL" in self._wanted:
                variables["DATABASE_URL"] = self._start_postgres(programs)
        except OSError as error:
            self.stop()
            raise ServerError(
                f"The embedded servers can't be started in {self.data_dir}: {error.strerror or error}."
            ) from None
        except ServerError:
            self.stop()
            raise
        return variables

    def poll(self) -> None:
        """Start again, on its port, what has died. Call it some times a second where that matters."""
        for server in self._running:
            server.keep_alive()

    def stop(self) -> None:
        """Stop both servers, PostgreSQL by a fast shutdown; after 15 s by force."""
        while self._running:
            self._running.pop().stop()
        if self._owns_warden:
            self.warden.close()

    def remove_files(self) -> None:
        """Remove the servers' files: databases, copied programs, what is remembered. Stop first."""
        self._remember_old()
        for path in {self.data_dir / "servers", Path(self._memory.get("place", self.data_dir / "servers"))}:
            shutil.rmtree(path, ignore_errors=True)
        (self.data_dir / "servers.json").unlink(missing_ok=True)

    def __enter__(self) -> Servers:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> Programs:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        # root: the servers' user must pass through the folder, but can't list it; everything in it is private
        self.data_dir.chmod(0o711 if self._uid is not None else 0o700)
        (self.data_dir / "logs").mkdir(mode=0o700, exist_ok=True)
        self._remember_old()
        self._place = server_place(self.data_dir, self._memory.get("place"), self._uid)
        self._remember("place", str(self._place))
        self.warden.ensure()
        programs = find_programs()
        if self._uid is None:
            return programs
        if all(is_reachable(path, self._uid) for path in (programs.postgres, programs.valkey)):
            return programs
        return copy_programs(programs, self._place / "programs")

    # PostgreSQL

    def _start_postgres(self, programs: Programs) -> str:
        folder = own_folder(self._place / "postgres", self._uid) / "data"
        password = self._secret("postgres_password")
        if not (folder / "PG_VERSION").exists():
            self._initdb(programs, folder, password)
        end_orphan(folder)
        options = POSTGRES_OPTIONS | ({} if self.durable else FORGETFUL_OPTIONS)
        settings = [f"--{name}={value}" for name, value in options.items()]

        def ask(port: int, *statements: str) -> list[bool]:
            """Whether each statement gave a row."""
            try:
                connection = psycopg2.connect(
                    f"host=127.0.0.1 port={port} user={DATABASE} password={password} dbname=postgres "
                    "connect_timeout=2 sslmode=disable"
                )
            except psycopg2.OperationalError as error:
                raise NotReady from error
            with contextlib.closing(connection), connection.cursor() as cursor:
                connection.autocommit = True
                return [cursor.execute(statement) or cursor.rowcount > 0 for statement in statements]

        server = self._server(
            "postgres",
            command=lambda port: [str(programs.postgres), "-D", str(folder), "-p", str(port), *settings],
            probe=lambda port: ask(port, "SELECT 1"),
            end_signals=[signal.SIGINT, signal.SIGQUIT],  # fast shutdown, immediate shutdown
        )
        if ask(server.port, "SELECT 1 FROM pg_database WHERE datname = 'tradebot'") == [False]:
            ask(server.port, f"CREATE DATABASE {DATABASE}")
        return f"postgresql://{DATABASE}:{password}@127.0.0.1:{server.port}/{DATABASE}"

    def _initdb(self, programs: Programs, folder: Path, password: str) -> None:
        unfinished = folder.with_name("unfinished")  # renamed when whole: an interrupted one is made anew
        shutil.rmtree(unfinished, ignore_errors=True)
        secret = folder.with_name("password")  # in the arguments every user of the machine could read it
        write_private(secret, password, self._uid)
        # builtin C.UTF-8: sorts alike on every machine, and needs no locale installed
        arguments = [
            str(programs.initdb), "-D", str(unfinished), "-U", DATABASE, "-E", "UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth=scram-sha-256",
            f"--pwfile={secret}", "--no-instructions", "--no-sync",
        ]  # fmt: skip
        log = self.data_dir / "logs/initdb.log"
        with log.open("wb") as output:
            done = subprocess.run(  # noqa: S603 (the wheel's program)
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                **run_as(self._uid),
            )
        secret.unlink()
        if done.returncode != 0:
            raise ServerError(f"PostgreSQL's database folder can't be made: {last_line(log)} See {log}.")
        unfinished.rename(folder)

    # Valkey

    def _start_valkey(self, programs: Programs) -> str:
        folder = own_folder(self._place / "valkey", self._uid)
        password = self._secret("valkey_password")
        options = [
            "bind 127.0.0.1", f'dir "{folder}"', f"requirepass {password}", "appendonly no",
            "maxmemory-policy noeviction", "daemonize no", "stop-writes-on-bgsave-error no",
            "shutdown-on-sigterm force",  # ends even where the disk is full
            *([] if self.durable else ['save ""']),
        ]  # fmt: skip

        def probe(port: int) -> None:
            client = redis.Redis(
                host="127.0.0.1", port=port, password=password, socket_timeout=2, retry=Retry(NoBackoff(), 0)
            )
            try:
                with client:
                    client.ping()
            except redis.RedisError as error:
                raise NotReady from error

        server = self._server(
            "valkey",
            command=lambda port: [str(programs.valkey), "-"],
            # the configuration comes by standard input: arguments are readable for every user of the machine
            standard_input=lambda port: "\n".join([f"port {port}", *options, ""]).encode(),
            probe=probe,
            end_signals=[signal.SIGTERM],
        )
        return f"redis://:{password}@127.0.0.1:{server.port}/0"

    def _server(self, name: str, **options: Any) -> Server:
        """Start a server on the port that it had the last time, if that is free."""
        log = self.data_dir / "logs" / f"{name}.log"
        server = Server(name=name, log=log, warden=self.warden, uid=self._uid, **options)
        self._running.append(server)
        server.start(self._memory.get(f"{name}_port"))
        self._remember(f"{name}_port", server.port)
        return server

    # What the data folder remembers

    def _remember_old(self) -> None:
        path = self.data_dir / "servers.json"
        with contextlib.suppress(FileNotFoundError, ValueError):
            self._memory = dict(json.loads(path.read_text()))

    def _remember(self, name: str, value: str | int) -> None:
        self._memory[name] = value
        write_private(self.data_dir / "servers.json", json.dumps(self._memory, indent=1))

    def _secret(self, name: str) -> str:
        if name not in self._memory:
            self._remember(name, secrets.token_urlsafe(24))
        return str(self._memory[name])
