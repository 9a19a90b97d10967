"""The demo from end to end, as a person and as a machine start it; one long story, and what came of it."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests

from tests.demo.running import RunningDemo, is_open, mentions, query
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]

EXIT_AFTER = 90  # seconds; about ten trades by then, some on a busy machine
SCREENS = "SELECT trigger, extract(epoch FROM finished_at - slot)::float FROM bots_screenrun WHERE bots > 0"
KILLED = {"feed": ("manage.py feed",), "worker-trading": ("dramatiq", "--queues exits entries")}


@dataclass
class Story:
    """What was seen of three demos: a long one, a short one beside it, and one on the first one's data."""

    first: RunningDemo
    second: RunningDemo
    third: RunningDemo
    first_page: requests.Response
    bots_page: str
    urls: list[str] = field(default_factory=list)  # where somebody listened
    were_open: bool = False
    screens: list[tuple[str, float]] = field(default_factory=list)  # trigger, seconds after the slot
    most_processes: int = 0
    still_open: list[str] = field(default_factory=list)  # after the end of the first
    left: list[str] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        """The first one's report."""
        found: dict[str, Any] = json.loads(self.first.out.read_text())
        return found


def log_in(demo: RunningDemo) -> str:
    """The list of bots, as the admin sees it with the password that was printed."""
    with requests.Session() as browser:
        browser.trust_env = False
        login = f"{demo.address}login/"
        browser.get(login, timeout=10)
        browser.post(
            login,
            {
                "username": "admin",
                "password": demo.password,
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
                "next": "/admin/bots/botconfig/",
            },
            headers={"Referer": login},
            timeout=20,
        )
        return browser.get(f"{demo.address}bots/botconfig/", timeout=20).text


def watch_until_the_end(story: Story, database: str) -> None:
    """Note processes and screens while the first demo goes on."""
    demo = story.first
    while demo.process.poll() is None:
        story.most_processes = max(story.most_processes, len(demo.family()))
        try:
            story.screens = query(database, SCREENS)
        except psycopg2.Error:  # it is ending
            demo.process.wait(60)
        time.sleep(0.3)
    story.still_open = [url for url in story.urls if is_open(url)]
    story.left = demo.left_running()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story; whatever happens, all demos are ended."""
    folder = tmp_path_factory.mktemp("demo")
    demos: list[RunningDemo] = []

    def start(name: str, *arguments: str) -> RunningDemo:
        demos.append(RunningDemo(folder / name, *arguments))
        return demos[-1]

    try:
        first = start("first", "--exit-after", str(EXIT_AFTER), "--json", "--fresh")
        first.wait_for_greeting()
        page = first.wait_for_web()
        database = first.variable("DATABASE_URL")
        wait_until(lambda: query(database, "SELECT id FROM trading_trade"), EXIT_AFTER)
        for words in KILLED.values():
            first.kill_group(*words)
        second = start("second", "--exit-after", "20", "--json")
        story = Story(first, second, second, page, log_in(first))
        story.urls = [database, first.address, first.exchange]
        story.were_open = all(is_open(url) for url in story.urls)
        watch_until_the_end(story, database)
        second.process.wait(60)
        story.third = start("first")
        story.third.wait_for_greeting()
        story.third.wait_for_web()
        story.third.family()
        os.killpg(story.third.process.pid, signal.SIGINT)
        story.third.process.wait(60)
        yield story
    finally:
        for demo in demos:
            demo.end()


def test_it_trades_and_ends_well_although_parts_were_killed(story: Story) -> None:
    assert story.first.process.returncode == 0, story.first.printed
    document = story.document
    assert document["books_agree"] is True
    assert document["differences"] == []
    assert document["trades"] > 0


def test_its_report_has_the_promised_keys_and_types(story: Story) -> None:
    document = story.document
    for name in ("screens", "runs", "orders", "fills", "trades", "errors"):
        assert type(document[name]) is int, name
    assert document["screens"] >= 2
    assert document["runs"] > 0
    assert document["orders"] >= document["trades"] > 0
    assert document["fills"] >= document["trades"]
    for name in ("first_screen_seconds", "first_trade_seconds"):
        assert type(document[name]) in (int, float), name
    assert 0 < document["first_screen_seconds"] <= document["first_trade_seconds"] < EXIT_AFTER
    assert (document["bots"], document["symbols"]) == (120, 100)  # 20 on futures of the same names


def test_what_was_killed_was_started_again(story: Story) -> None:
    restarts = {name: count for name, count in story.document["restarts"].items() if count}
    assert restarts.keys() == KILLED.keys()


def test_closed_candles_and_minutes_both_have_the_bots_looked_at(story: Story) -> None:
    assert {trigger for trigger, _ in story.screens} == {"minute", "candle"}
    after_close = [seconds for trigger, seconds in story.screens if trigger == "candle"]
    assert min(after_close) < 20


def test_nothing_is_left_of_it(story: Story) -> None:
    assert story.most_processes >= 12  # that it was looked for: servers, exchange, workers, web ...
    assert story.were_open
    assert story.still_open == []
    assert story.left == []
    assert story.third.left_running() == []
    assert mentions(str(story.first.data)) == []


def test_it_says_that_it_is_paper(story: Story) -> None:
    assert "PAPER TRADING - no real money" in story.first.printed
    assert (story.first_page.status_code, story.first_page.url) == (
        200,
        f"{story.first.address}login/?next=/admin/",
    )
    assert 'type="password"' in story.first_page.text
    assert "PAPER" in story.first_page.text


def test_the_password_that_it_prints_opens_the_control_room(story: Story) -> None:
    assert "ema_rsi" in story.bots_page
    assert "PAPER" in story.bots_page


def test_two_at_once_have_ports_of_their_own(story: Story) -> None:
    addresses = [one for demo in (story.first, story.second) for one in (demo.address, demo.exchange)]
    assert len(set(addresses)) == 4
    assert story.second.process.returncode in (0, 1), story.second.printed  # 1: too short to trade
    assert json.loads(story.second.out.read_text())["books_agree"] is True
    assert mentions(str(story.second.data)) == []


def test_the_next_start_has_the_same_password_in_a_private_file(story: Story) -> None:
    path = story.first.data / "demo.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["admin_password"] == story.first.password
    assert story.third.password == story.first.password


def test_ctrl_c_ends_it_with_a_sum(story: Story) -> None:
    assert story.third.process.returncode == 0, story.third.printed
    assert "the books agree with the exchange's" in story.third.printed
    assert "Traceback" not in story.third.printed


@pytest.mark.parametrize(
    "arguments",
    ["--port abc", "--exit-after -1", "--exit-after soon", "--exit-after nan", "--speed 11", "now"],
)
def test_wrong_arguments_are_told_and_start_nothing(tmp_path: Path, arguments: str) -> None:
    demo = RunningDemo(tmp_path / "demo", *arguments.split())
    try:
        assert demo.process.wait(60) == 2
        assert arguments.split()[0] in demo.printed
        assert "Traceback" not in demo.printed
        assert not demo.data.exists()
    finally:
        demo.end()


def test_a_file_as_data_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    demo = RunningDemo(tmp_path / "data")
    assert demo.process.wait(60) == 2
    assert "is a file; name a folder" in demo.printed
    assert (tmp_path / "data").read_text() == "mine"


def test_help_needs_no_environment(tmp_path: Path) -> None:
    demo = RunningDemo(tmp_path / "data", "--help")
    assert demo.process.wait(60) == 0
    assert "--exit-after SECONDS" in demo.printed
    assert not demo.data.exists()
