"""Over all actors: queues, limits, parameters and schedules are said, not left to defaults."""

from __future__ import annotations

import inspect
import typing
from types import NoneType, UnionType

import dramatiq
import pytest
from dramatiq.results import Results

import bots.actors
import marketdata.actors
from tradebot import settings as project

ALL = sorted(dramatiq.get_broker().actors.values(), key=lambda actor: actor.actor_name)
PROJECT = [
    actor for actor in ALL if actor.fn.__module__ in (bots.actors.__name__, marketdata.actors.__name__)
]
CAN_TRADE = {"run-bot", "answer-inbox", "recover-bot"}
QUEUES = {"screen", "exits", "entries", "background"}
WITHOUT_AGE = {  # delayed, or right however late
    "recover-bot",
    "reactivate-bots-daily-at-utc-midnight",
    "write-daily-summaries",
    "carry-out-kill-switch",
    "sweep-account",
}


def name_of(actor) -> str:
    return actor.actor_name


def test_these_are_the_actors():
    assert {actor.actor_name for actor in PROJECT} == {
        "run-all-active-bots-every-minute",
        "screen-closed-candles",
        "screen-chunk",
        "run-bot",
        "answer-inbox",
        "recover-bot",
        "reactivate-bots-daily-at-utc-midnight",
        "deliver-notifications",
        "empty-channel",
        "write-daily-summaries",
        "book-funding",
        "check-books",
        "wake-bots",
        "carry-out-kill-switch",
        "sweep-accounts",
        "sweep-account",
        "ask-for-orders",
        "warm_up_spot_symbols",
        "warm_up_futures_symbols",
    }
    others = {actor.actor_name for actor in ALL} - {actor.actor_name for actor in PROJECT}
    assert others <= {"delete_old_tasks"}  # django_dramatiq's own, never sent


@pytest.mark.parametrize("actor", PROJECT, ids=name_of)
def test_queue_and_limits_are_said(actor):
    assert actor.queue_name in QUEUES
    assert "time_limit" in actor.options
    assert 0 < actor.options["time_limit"] <= project.TASK_SOFT_TIME_LIMIT * 1000
    if actor.actor_name in WITHOUT_AGE:
        assert "max_age" not in actor.options
    else:
        assert 0 < actor.options["max_age"] <= 300_000


@pytest.mark.parametrize("actor", PROJECT, ids=name_of)
def test_nothing_is_tried_again_by_the_broker(actor):
    assert actor.options["max_retries"] == 0


@pytest.mark.parametrize("actor", PROJECT, ids=name_of)
def test_messages_hold_numbers_and_texts_only(actor):
    hints = typing.get_type_hints(actor.fn)
    for name in inspect.signature(actor.fn).parameters:
        kinds = set(typing.get_args(hints[name])) if isinstance(hints[name], UnionType) else {hints[name]}
        assert kinds <= {int, str, NoneType}, name


def test_whatever_can_trade_has_a_queue_of_its_own_kind():
    queues = {actor.actor_name: actor.queue_name for actor in PROJECT if actor.actor_name in CAN_TRADE}
    assert queues == {"run-bot": "entries", "answer-inbox": "exits", "recover-bot": "exits"}


def test_the_schedules_are_the_designs():
    lines = {actor.actor_name: str(actor.options["periodic"]) for actor in ALL if "periodic" in actor.options}
    assert lines == {
        "run-all-active-bots-every-minute": "* * * * *",
        "reactivate-bots-daily-at-utc-midnight": "0 0 * * *",
        "deliver-notifications": "* * * * *",
        "write-daily-summaries": "5 0 * * *",
        "book-funding": "*/15 * * * *",
        "check-books": "23 * * * *",
        "sweep-accounts": "* * * * *",
        "warm_up_spot_symbols": "*/15 * * * *",
        "warm_up_futures_symbols": "*/15 * * * *",
    }


def test_every_middleware_that_the_workers_need_is_there_and_no_other():
    broker = dramatiq.get_broker()
    assert [type(one).__name__ for one in broker.middleware] == [
        "LogIds",
        "AgeLimit",
        "HardTimeLimit",
        "TimeLimit",
        "ShutdownNotifications",
        "Callbacks",
        "Retries",
        "CurrentMessage",
        "CleanConnections",
        "DeadLetters",
        "SchemaGuard",
        "Heartbeat",
        "SweepAtStart",
        "PeriodiqMiddleware",
        "Results",
    ]
    results = next(one for one in broker.middleware if isinstance(one, Results))
    assert type(results.backend).__name__ == "RedisBackend"


def test_a_dead_workers_messages_are_looked_for_often_enough():
    broker = dramatiq.get_broker()
    assert broker.heartbeat_timeout <= 60_000  # ms; 90 s are promised
    assert broker.maintenance_chance == 1_000_000  # at each command
