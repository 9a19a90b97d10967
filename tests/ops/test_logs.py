"""Log lines: JSON or text, with the ids of what is being done, and never with a secret."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading

import dramatiq
import pytest

from bots import runner
from tests.ops.compose import ROOT
from tests.support.environment import child_environment
from tradebot import middleware
from tradebot.logs import JsonLine, MaskSecrets, TextLine, add_log_ids, log_context, log_ids

CANARY = "canary-0123456789"


@pytest.fixture
def logged():
    """A logger that writes as the settings have it, and what it wrote."""
    log, out = logging.getLogger("test.ops"), io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(MaskSecrets())
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logging.DEBUG)
    yield log, handler, out
    log.removeHandler(handler)
    log.propagate = True


def test_a_json_line_has_the_named_fields_and_the_ids(logged):
    log, handler, out = logged
    handler.setFormatter(JsonLine())
    with log_context(message_id="m1", actor="run-bot"), log_context(bot=3):
        add_log_ids(run=9)
        log.info("sent %s\nand more", "ä")
    log.warning("after")
    first, second = [json.loads(line) for line in out.getvalue().splitlines()]
    at = first.pop("time")
    assert first == {
        "level": "INFO",
        "logger": "test.ops",
        "message": "sent ä\nand more",
        "message_id": "m1",
        "actor": "run-bot",
        "bot": 3,
        "run": 9,
    }
    assert at.endswith("+00:00")
    assert set(second) == {"time", "level", "logger", "message"}


def test_a_text_line_ends_with_the_ids(logged):
    log, handler, out = logged
    handler.setFormatter(TextLine("%(levelname)s %(message)s"))
    with log_context(bot=3, run=9):
        log.info("sent")
    log.info("after")
    assert out.getvalue() == "INFO sent [bot=3 run=9]\nINFO after\n"


@pytest.mark.parametrize("formatter", [JsonLine(), TextLine("%(message)s")], ids=["json", "text"])
def test_secrets_are_masked_wherever_they_stand(logged, formatter):
    log, handler, out = logged
    handler.setFormatter(formatter)
    log.info(
        "GET /order?signature=%s", CANARY, extra={"api_key": CANARY, "headers": {"X-MBX-APIKEY": CANARY}}
    )
    log.info({"api_secret": CANARY})
    try:
        raise ValueError(f"/order?signature={CANARY}")
    except ValueError:
        log.exception("failed", stack_info=True)
    assert CANARY not in out.getvalue()
    assert "ValueError: /order?***" in out.getvalue()


def test_each_json_line_is_one_line_and_the_exception_is_in_it(logged):
    log, handler, out = logged
    handler.setFormatter(JsonLine())
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    [line] = out.getvalue().splitlines()
    assert json.loads(line)["exception"].splitlines()[-1] == "ValueError: why"


def test_ids_end_with_their_block_and_are_a_threads_own():
    seen = []
    with log_context(bot=1):
        add_log_ids(run=2)
        thread = threading.Thread(target=lambda: seen.append(log_ids()))
        thread.start()
        thread.join()
        assert log_ids() == {"bot": 1, "run": 2}
    assert (log_ids(), seen) == ({}, [{}])


def test_a_message_brings_its_ids_and_takes_them_away_even_when_it_is_skipped():
    ids, broker = middleware.LogIds(), dramatiq.get_broker()
    message = dramatiq.MessageProxy(dramatiq.Message("screen", "screen-chunk", (), {}, {}, message_id="m1"))
    for end in (ids.after_process_message, ids.after_skip_message):
        ids.before_process_message(broker, message)
        assert log_ids() == {"message_id": "m1", "actor": "screen-chunk"}
        add_log_ids(bot=7)
        end(broker, message)
        assert log_ids() == {}


def test_a_run_brings_its_bot(bot, monkeypatch):
    seen = []
    monkeypatch.setattr(runner, "_run_bot", lambda *arguments: seen.append(log_ids()))
    runner.run_bot(bot.pk, trigger="minute", key="a", slot=None)
    assert (seen, log_ids()) == ([{"bot": bot.pk}], {})


@pytest.mark.parametrize(
    ("given", "is_kept"), [("proxy-0001", True), ("short", False), ("a b\nc" * 9, False)]
)
def test_an_http_request_has_an_id_that_the_answer_tells(client, given, is_kept):
    answer = client.get("/healthz", HTTP_X_REQUEST_ID=given)
    assert (answer["X-Request-ID"] == given) is is_kept
    assert len(answer["X-Request-ID"]) >= 8


def test_the_environment_chooses_json_for_the_whole_process(db):
    program = (
        "import django; django.setup()\nimport logging\nfrom tradebot.logs import log_context\n"
        "with log_context(bot=5):\n    logging.getLogger('x').warning('signature=canary')\n"
    )
    env = child_environment(LOG_FORMAT="json", DJANGO_SETTINGS_MODULE="tradebot.settings")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True)
    line = json.loads(done.stderr)
    assert (line["level"], line["logger"], line["message"], line["bot"]) == ("WARNING", "x", "***", 5)
