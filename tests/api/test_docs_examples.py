"""The examples of docs/api.md, each run as it stands against a live server, answer as they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bots.models import BotConfig, BotInbox
from tests.api.support import Api
from tests.support.owners import load_symbols, make_owner
from tradebot import clock

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCK = re.compile(r"```(bash|python|json)\n(.*?)```", re.DOTALL)
MARK = "@@ the next example @@"
PASSWORD = "a password of the tests"


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(DOCS.read_text())


def script() -> str:
    """All examples in one shell: what one sets the next ones use."""
    lines = ["set -euo pipefail"]
    for kind, text in blocks():
        if kind == "bash":
            lines += [f"echo '{MARK}'", text]
        elif kind == "python":
            lines += [f"echo '{MARK}'", f'"$PYTHON" - <<"END"\n{text}END']
    return "\n".join(lines)


def run_all(url: str) -> list[str]:
    """What each example wrote."""
    text = script().replace("http://127.0.0.1:8000", url).replace("your-password", PASSWORD)
    text = text.replace("curl -sS", "curl -sS --fail-with-body", text.count("curl -sS") - 1)
    environment = {**os.environ, "PYTHON": sys.executable, "no_proxy": "*"}
    done = subprocess.run(
        ["bash", "-c", text], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split(f"{MARK}\n")[1:]


@pytest.mark.django_db(transaction=True)
def test_the_examples_run_and_answer_as_the_page_says(
    live_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    public_names: None,
    delivered: list[bool],
) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setattr("bots.api.bots.wake_bot", answer_at_once)
    load_symbols()
    admin = make_owner("admin", superuser=True)
    admin.set_password(PASSWORD)
    admin.save()
    outputs = iter(run_all(live_server.url))
    written = ""
    for kind, text in blocks():
        if kind == "json":
            told, real = json.loads(text), json.loads(written.strip().splitlines()[-1])
            assert shape_of(told, real) == [], text
        else:
            written = next(outputs)
            assert "Traceback" not in written
    bot = BotConfig.objects.get()
    assert (bot.stop_loss_perc, bot.initial_capital, bot.is_active) == (3, 500, False)
    assert bot.deleted_at is not None
    assert list(bot.inbox.values_list("kind", flat=True)) == ["stop", "run", "run", "run"]


def answer_at_once(bot_id: int, inbox_id: int) -> None:
    """What a worker would do."""
    BotInbox.objects.filter(pk=inbox_id).update(handled_at=clock.now(), result="not buying")


def shape_of(told: Any, real: Any, where: str = "") -> list[str]:
    """Keys that the page shows and the answer has not, or has with another kind of value."""
    if isinstance(told, dict) and isinstance(real, dict):
        missing = [f"{where}.{key}" for key in told if key not in real]
        shared = [key for key in told if key in real and told[key] is not None and real[key] is not None]
        return missing + [
            wrong for key in shared for wrong in shape_of(told[key], real[key], f"{where}.{key}")
        ]
    if isinstance(told, list) and isinstance(real, list):
        return shape_of(told[0], real[0], f"{where}[0]") if told and real else []
    is_number = isinstance(told, int | float) and isinstance(real, int | float)
    return [] if type(told) is type(real) or is_number else [f"{where}: {told!r} and {real!r}"]


@pytest.mark.django_db
def test_the_page_names_every_filter_and_every_limit(settings: Any) -> None:
    text = DOCS.read_text()
    schema = Api().get("schema/")
    for path, operations in schema["paths"].items():
        assert path.removeprefix("/api/v1/").split("/")[0] + "/" in text, path
        for parameter in operations.get("get", {}).get("parameters", []):
            assert f"`{parameter['name']}`" in text or parameter["name"] in ("id", "environment", "market")
    for limit in ("read", "write"):
        assert f"{settings.API_REQUESTS_PER_MINUTE[limit]:,}" in text
