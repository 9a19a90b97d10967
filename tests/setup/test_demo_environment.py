"""What `manage.py demo` finds prepared: folder, secrets, ports, variables; and when it is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tradebot.embedded import Servers

PREPARE = """
import json, os, sys
from tradebot.embedded_env import current_demo, prepare_demo_environment
before = dict(os.environ)
prepare_demo_environment(["manage.py", "demo", *sys.argv[1:]])
demo = current_demo()
changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
print(json.dumps({"web_port": demo.web_port, "paper_port": demo.paper_port, "password": demo.admin_password,
                  "data": str(demo.data_dir), "fresh": demo.fresh, "environment": changed}))
sys.stdout.flush()
sys.stdin.read()
"""

# Servers that are given: nothing is started, so that these tests are quick.
GIVEN = {"DATABASE_URL": "postgresql://given/db", "REDIS_URL": "redis://given/0", "PAPER_SPOT_URL": ""}

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.Popen[str]]


def start(run_script: Run, *arguments: object, **environment: str) -> tuple[dict, subprocess.Popen[str]]:
    """Start a demo's preparation, which then holds its folder until its standard input is closed."""
    process = run_script(PREPARE, *[str(argument) for argument in arguments], **GIVEN | environment)
    line = process.stdout.readline()  # type: ignore[union-attr]
    assert line, process.stderr.read()  # type: ignore[union-attr]
    return json.loads(line), process


def refused(*arguments: object, **environment: str) -> tuple[int, str]:
    """The exit code and the words of a preparation that ends by itself."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, *[str(argument) for argument in arguments]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **GIVEN, **environment},
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=15)
    assert process.returncode == 0


def test_secrets_and_ports_are_kept_for_the_next_start(run_script: Run, tmp_path: Path) -> None:
    first, process = start(run_script, "--data", tmp_path / "demo")
    finish(process)
    second, process = start(run_script, "--data", tmp_path / "demo")
    finish(process)

    assert first == second
    assert (tmp_path / "demo/demo.json").stat().st_mode & 0o777 == 0o600


def test_the_environment_is_the_demos(run_script: Run, tmp_path: Path) -> None:
    demo, _ = start(run_script, "--data", tmp_path / "demo", LIVE_TRADING="1", SECRET_KEY="mine")
    environment = demo["environment"]

    assert {name for name in environment if name in GIVEN} == {"PAPER_SPOT_URL"}  # given servers win
    assert environment["PAPER_SPOT_URL"] == f"http://127.0.0.1:{demo['paper_port']}"
    assert (environment["LIVE_TRADING"], environment["SYMBOL_SOURCES"]) == ("0", "paper")
    assert environment["SECRET_KEY"] != "mine"
    assert len(environment["FERNET_KEYS"]) == 44
    assert environment["DEPLOYMENT_NONCE"].isalnum()
    assert len(environment["DEPLOYMENT_NONCE"]) == 6


def test_a_given_exchange_wins_over_the_paper_exchange(run_script: Run, tmp_path: Path) -> None:
    demo, _ = start(run_script, "--data", tmp_path / "demo", PAPER_SPOT_URL="http://127.0.0.1:9")

    assert demo["paper_port"] is None
    assert "PAPER_SPOT_URL" not in demo["environment"]


def test_fresh_makes_new_secrets(run_script: Run, tmp_path: Path) -> None:
    first, process = start(run_script, "--data", tmp_path / "demo")
    finish(process)
    (tmp_path / "demo/paper").mkdir()
    second, process = start(run_script, "--data", tmp_path / "demo", "--fresh")

    assert second["fresh"] is True
    assert first["password"] != second["password"]
    assert first["environment"]["FERNET_KEYS"] != second["environment"]["FERNET_KEYS"]
    assert not (tmp_path / "demo/paper").exists()


def test_two_demos_at_once_have_different_ports(run_script: Run, tmp_path: Path) -> None:
    first, _ = start(run_script, "--data", tmp_path / "one")
    second, _ = start(run_script, "--data", tmp_path / "two")

    assert len({demo[port] for demo in (first, second) for port in ("web_port", "paper_port")}) == 4


def test_a_second_demo_on_the_same_folder_is_refused(run_script: Run, tmp_path: Path) -> None:
    _, process = start(run_script, "--data", tmp_path / "demo")

    code, words = refused("--data", tmp_path / "demo")

    assert (code, words) == (
        4,
        f"A demo (process {process.pid}) is running on {tmp_path}/demo; stop it, or give this one "
        "a folder of its own with --data.\n",
    )


def test_a_demo_that_was_killed_leaves_the_folder_free(run_script: Run, tmp_path: Path) -> None:
    first, process = start(run_script, "--data", tmp_path / "demo")
    process.kill()
    process.wait()
    second, _ = start(run_script, "--data", tmp_path / "demo")

    assert first["password"] == second["password"]


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, words = refused("--data", tmp_path / "demo", "--port", port)

    assert code == 2
    assert (
        words
        == f"--port {port} is taken by another program, or needs more rights; name another one, or none.\n"
    )


@pytest.mark.parametrize("port", ["0", "65536", "eighty", "-1", ""])
def test_an_impossible_port_is_a_usage_error(tmp_path: Path, port: str) -> None:
    code, words = refused("--data", tmp_path / "demo", "--port", port)

    assert code == 2
    assert "--port" in words
    assert "Traceback" not in words
    assert not (tmp_path / "demo").exists()


def test_a_file_as_data_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    assert refused("--data", tmp_path / "file") == (
        2,
        f"--data {tmp_path}/file is a file; name a folder, or none for .data/demo.\n",
    )
    assert refused("--data", tmp_path / "file/below")[0] == 2
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("options", [[], ["--fresh"]])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "servers").mkdir()
    mode = tmp_path.stat().st_mode

    code, words = refused("--data", tmp_path, *options)

    assert (code, words) == (2, f"--data {tmp_path} holds other files; name a new or an empty folder.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["servers"]
    assert tmp_path.stat().st_mode == mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir(mode=0o500)

    assert refused("--data", tmp_path / "demo") == (
        2,
        f"--data {tmp_path}/demo can't be written to; name another folder.\n",
    )


def test_damaged_secrets_are_never_replaced_silently(run_script: Run, tmp_path: Path) -> None:
    _, process = start(run_script, "--data", tmp_path / "demo")
    finish(process)
    (tmp_path / "demo/demo.json").write_text("{")

    code, words = refused("--data", tmp_path / "demo")

    assert (code, words) == (
        2,
        f"{tmp_path}/demo/demo.json is damaged, and the demo's keys with it; start anew with --fresh.\n",
    )
    assert (tmp_path / "demo/demo.json").read_text() == "{"


def test_a_server_that_cannot_start_is_one_sentence_and_exit_code_1(
    run_script: Run, make_servers: Callable[..., Servers], tmp_path: Path
) -> None:
    make_servers()  # for the clean-up: it works on the same folder
    _, process = start(run_script, "--data", tmp_path / "a folder")
    finish(process)
    (tmp_path / "a folder/logs").write_text("no folder")

    code, words = refused("--data", tmp_path / "a folder", REDIS_URL="")

    assert code == 1
    assert words.startswith("The embedded servers can't be started in ")
    assert words.count("\n") == 1
