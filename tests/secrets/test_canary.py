"""I15: a key and a secret of our own go through all that can happen, and are then looked for everywhere."""

from __future__ import annotations

import base64
import logging
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from django.test import Client
from django.urls import reverse

from bots import inbox
from bots.actors import answer_inbox, run_all_active_bots_every_minute, run_bot
from bots.models import BotInbox, ScreenRun
from tests.secrets.places import admin_pages, redis_content, redis_traffic, tables
from tests.support.cluster import ROOT, run_python, running_workers
from tests.support.desk import SIGNAL, Desk, open_desk
from tests.support.environment import child_environment
from tests.support.waiting import wait_until
from tests.workers.support import done
from tradebot import clock
from tradebot.processes import ProcessSpec
from trading.accounts import _bind, account_create
from trading.models import AccountState, BotState, ExchangeAccount, ExchangeSecret, OrderRequest

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
KEY = "CanaryKeyOne0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
SECRET = "CanarySecretOne9876543210zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPON"
OTHER_KEY = "CanaryKeyTwo0246813579acegikmoqsuwybdfhjlnprtvxzACEGIKMOQSUWYBDF"
OTHER_SECRET = "CanarySecretTwo1357924680bdfhjlnprtvxzacegikmoqsuwyBDFHJLNPRTVXZA"[:64]
NEW_KEY = "CanaryKeyThree112233445566778899aabbccddeeffgghhiijjkkllmmnnoopp"
NEW_SECRET = "CanarySecretThree998877665544332211zzyyxxwwvvuuttssrrqqppoonnmmll"[:64]
CANARIES = (KEY, SECRET, OTHER_KEY, OTHER_SECRET, NEW_KEY, NEW_SECRET)
POOR = '{"code": -2010, "msg": "Account has insufficient balance for requested action."}'
ECHO = (  # some proxies repeat the request in their answer
    '{"code": -1100, "msg": "bad request: /api/v3/order?symbol=X&signature=0123abcd X-MBX-APIKEY: '
    + KEY
    + '"}'
)


def needles() -> dict[str, str]:
    """What must be found nowhere: the canaries, whole and in part, also encoded, and signatures."""
    found = {"signature=": "signature="}
    for canary in CANARIES:
        assert len(canary) == 64
        for text in (canary, canary[:20], canary[-20:], canary.encode().hex()):
            found[text] = canary[:17]
        found[base64.b64encode(canary.encode()).decode()[:80]] = canary[:17]
    return found


def leaks(place: str, text: str) -> list[str]:
    """Where in the text a needle is, with what stands before it."""
    return [
        f"{place}: {name} after {text[max(0, at - 200) : at]!r}"
        for needle, name in needles().items()
        if (at := text.find(needle)) >= 0
    ]


def worker(desk: Desk) -> ProcessSpec:
    """One process for all queues, as talkative as can be, in which some runs crash."""
    env = child_environment(PAPER_SPOT_URL=desk.paper.url, PAPER_FUTURES_URL=desk.paper.url, CLOCK="stepped")
    modules = ["bots.actors", "marketdata.actors", "tests.secrets.sabotage", "tests.workers.witness"]
    options = ["-v", "--path", str(ROOT), "--processes", "1", "--threads", "2"]
    argv = [sys.executable, "-m", "dramatiq", "django_dramatiq.setup", *modules, *options]
    return ProcessSpec("worker", argv, {"dramatiq_worker_timeout": "10", **env})


class Story:
    """What the canaries go through."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.printed = ""
        desk.paper.control(
            "/paper/accounts", {"apiKey": KEY, "secretKey": SECRET, "balances": {"USDT": "10000"}}
        )
        self.account = desk.account = self._account("canary", KEY, SECRET)
        self.bots = {name: desk.add_bot(f"{name}USDT", initial_capital="500") for name in NAMES}
        self.broken = self._account("broken", OTHER_KEY, OTHER_SECRET)
        desk.account = self.broken
        desk.paper.control(
            "/paper/accounts", {"apiKey": OTHER_KEY, "secretKey": OTHER_SECRET, "balances": {"USDT": "1"}}
        )
        self.bots["BROKEN"] = desk.add_bot("BROKENUSDT")
        desk.account = self.account
        desk.go_to(AT_SIGNAL)

    def _account(self, name: str, key: str, secret: str) -> ExchangeAccount:
        return account_create(
            user=self.desk.owner, name=name, environment="paper", api_key=key, api_secret=secret
        )

    def run(self, name: str, key: str = "first") -> None:
        """A run of the bot in the worker."""
        self._finish(run_bot.message(self.bots[name].pk, SIGNAL.isoformat(), "minute", f"{name} {key}"))

    def ask(self, name: str) -> None:
        """A run asked for by hand, in the worker; its result, or its error, is stored in Redis."""
        row = inbox.put(self.bots[name].pk, BotInbox.Kind.RUN, clock.now(), f"click on {name}")
        self._finish(answer_inbox.message(row.bot_id, row.pk))

    def _finish(self, message: Any) -> None:
        """Send the message and wait until it was worked on, well or not; looks at doubts go on meanwhile."""
        before = Counter(one.actor for one in done())[message.actor_name]
        dramatiq.get_broker().enqueue(message)
        wait_until(lambda: Counter(one.actor for one in done())[message.actor_name] > before, seconds=40)

    def command(self, *arguments: str) -> None:
        """A command as a process, as talkative as the worker."""
        url = self.desk.paper.url
        env = child_environment(PAPER_SPOT_URL=url, PAPER_FUTURES_URL=url, CLOCK="stepped")
        done = run_python("-m", "tests.secrets.sabotage", *arguments, env=env)
        self.printed += f"{arguments} {done.returncode}\n{done.stdout}\n{done.stderr}\n"

    def state(self, name: str) -> BotState:
        return self.desk.state(self.bots[name])

    def request(self, name: str) -> OrderRequest:
        return OrderRequest.objects.get(bot=self.bots[name])


NAMES = ("GOOD", "POOR", "REVOKED", "LOST", "ECHOED", "CRASHA", "CRASHB", "CRASHC", "ASKED")


def orders_end_in_every_way(story: Story) -> None:
    """Accepted, refused, key refused, lost and found, repeated by a proxy, crashed."""
    paper = story.desk.paper
    story.run("GOOD")
    assert story.state("GOOD").in_position
    paper.fault("answer", status=400, body=POOR, when="before")
    story.run("POOR")
    assert story.request("POOR").code == -2010
    paper.fault("key_refused")
    story.run("REVOKED")
    assert story.state("REVOKED").status == "paused (key)"
    paper.fault("drop_response")
    story.run("LOST")
    assert story.request("LOST").state == "UNKNOWN"
    paper.fault("answer", status=400, body=ECHO, when="before")
    story.run("ECHOED")
    assert story.request("ECHOED").state == "REJECTED"
    story.run("CRASHA")
    story.ask("CRASHB")
    assert story.request("CRASHA").state == story.request("CRASHB").state == "PREPARED"
    story.desk.wait(2)
    wait_until(lambda: story.state("LOST").in_position)  # the delayed look at the doubt has come


def questions_and_keys_fail(story: Story) -> None:
    """Errors while asking, and keys that can't be used; by messages and by commands."""
    paper = story.desk.paper
    AccountState.objects.update(asked_at=AT_SIGNAL - timedelta(hours=1))  # so that the account is asked for
    paper.fault("answer", method="GET", path="/api/v3/account", status=401, body=ECHO.replace("1100", "2015"))
    story.ask("ASKED")
    assert story.state("ASKED").status == "paused (key)"
    secret = ExchangeSecret.objects.filter(account=story.broken)
    secret.update(api_key=ExchangeSecret.objects.get(account=story.account).api_key)
    story.run("BROKEN")
    assert story.state("BROKEN").status == "error (api key decrypt failed)"
    secret.update(api_key=_bind(story.broken, "api_key", f"{OTHER_KEY} with spaces"))
    story.run("BROKEN", "again")
    assert story.state("BROKEN").status == "error (client init failed)"
    story.command("run_bot", str(story.bots["BROKEN"].pk))
    story.command("run_bot", "--traceback", str(story.bots["CRASHC"].pk))
    assert "RuntimeError: no books" in story.printed


def somebody_enters_keys(story: Story, browser: Client) -> str:
    """The answers to a form with a key that is refused, and to one that is taken."""
    place = reverse("admin:trading_exchangeaccount_change", args=[story.broken.pk])
    common = {"name": "broken", "is_exclusive": "on"}
    answers = [
        browser.post(place, {**common, "api_key": f"{NEW_KEY}!", "api_secret": f"{NEW_SECRET}!"}),
        browser.post(place, {**common, "api_key": KEY, "api_secret": NEW_SECRET}),
        browser.post(place, {**common, "api_key": NEW_KEY, "api_secret": NEW_SECRET}, follow=True),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert "64 letters and digits" in answers[0].content.decode()
    assert ExchangeSecret.objects.get(account=story.broken).api_key == _bind(story.broken, "api_key", NEW_KEY)
    return "\n".join(answer.content.decode() for answer in answers)


def logs(folder: Path) -> str:
    """All logs of the processes."""
    return "\n".join(path.read_text() for path in folder.glob("*.log"))


def test_the_canaries_are_found_nowhere(
    tmp_path: Path,
    settings: Any,
    django_user_model: Any,
    transactional_db: None,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    desk = open_desk(tmp_path, settings, django_user_model, [f"{name}USDT" for name in (*NAMES, "BROKEN")])
    browser = Client()
    browser.force_login(django_user_model.objects.create_superuser("root", password="root-password-1"))
    try:
        story = Story(desk)
        with redis_traffic() as traffic, running_workers(tmp_path / "logs", [worker(desk)]):
            orders_end_in_every_way(story)
            questions_and_keys_fail(story)
            run_all_active_bots_every_minute.send(SIGNAL.isoformat())
            wait_until(ScreenRun.objects.exists)
            forms = somebody_enters_keys(story, browser)
            left = redis_content()
        orders = desk.paper.books(KEY)["orders"]
    finally:
        desk.feed.close()
        desk.paper.stop()
    printed = capfd.readouterr()
    places = {  # with a word that shows that the place was looked into
        "logs of the worker": (logs(tmp_path / "logs"), "RuntimeError: no books"),
        "log of the exchange": (logs(tmp_path), ""),
        "log of this process": (caplog.text, "DEBUG"),
        "output": (printed.out + printed.err, ""),
        "commands": (story.printed, "client init failed"),
        "tables": (tables(), "Account has insufficient balance"),
        "Redis": (left, "symbols:"),
        "messages": ("\n".join(traffic), "answer-inbox"),
        "forms": (forms, "broken"),
        "admin": (admin_pages(browser), "paused (key)"),
    }
    assert len(orders) >= 5, "signed by the canary"
    found = []
    for place, (text, word) in places.items():
        assert word in text, f"nothing was looked for in {place}"
        found += leaks(place, text)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("canary", CANARIES)
def test_a_leak_would_be_found(canary: str) -> None:
    for text in (
        f"x{canary}y",
        canary[:20],
        f"\\x{canary.encode().hex()}",
        base64.b64encode(canary.encode()),
    ):
        assert leaks("here", text if isinstance(text, str) else text.decode()), text
    assert leaks("here", "?timestamp=1&signature=00")
    assert not leaks("here", "nothing")
