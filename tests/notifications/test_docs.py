"""The receiver that docs/notifications.md shows really runs, and takes what TradeBot sends."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bots.notifications import services
from tests.notifications.conftest import OTHER_SECRET, SECRET
from tests.support.waiting import wait_until
from tradebot import webhooks
from tradebot.secrets import Secret

DOCS = (Path(__file__).resolve().parents[2] / "docs/notifications.md").read_text()


@pytest.fixture
def example(tmp_path, settings):
    """The documented receiver as a process: its address, and what it prints."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.S)
    (tmp_path / "receiver.py").write_text(code)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings.WEBHOOK_ALLOWED_HOSTS = (f"127.0.0.1:{port}",)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "receiver.py"],
        env={**os.environ, "PORT": str(port), "WEBHOOK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_until(lambda: _listens(port))
    yield f"http://127.0.0.1:{port}/", process
    process.terminate()
    process.wait(10)
    process.stdout.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def send(url, message_id, secret, now=None):
    body = json.dumps({"type": "test", "data": {"text": message_id}})
    signed = webhooks.headers(message_id, body, [Secret(secret)], now or datetime.now(UTC))
    return webhooks.send(url, body, signed).text


def test_the_documented_receiver_takes_good_messages_once_and_refuses_the_rest(example):
    url, process = example
    assert send(url, "msg_1", SECRET) == "answered 204"
    assert send(url, "msg_1", SECRET) == "answered 204"  # again: taken, not told
    assert send(url, "msg_2", OTHER_SECRET) == "answered 401"
    assert send(url, "msg_3", SECRET, datetime(2020, 1, 1, tzinfo=UTC)) == "answered 401"
    assert send(url, "msg_4", SECRET) == "answered 204"
    assert [process.stdout.readline() for _ in range(2)] == [
        "test {'text': 'msg_1'}\n",
        "test {'text': 'msg_4'}\n",
    ]


def test_every_event_is_documented_with_an_example():
    examples = re.findall(r"```json\n(.*?)```", DOCS, re.S)
    named = [json.loads(example)["type"] for example in examples]
    assert list(dict.fromkeys(named)) == list(services.EVENTS)
    assert "**test**" in DOCS
