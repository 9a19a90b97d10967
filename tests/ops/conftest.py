"""Fixtures of operations: workers that seem to live, and one bot."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bots.health_checks import queues
from bots.models import BotConfig
from tests.support import owners
from tradebot import beats
from tradebot.redis import redis_client


@pytest.fixture
def living_workers() -> list[str]:
    """Each queue has a worker that beat just now."""
    beats.beat_worker(redis_client(), queues(), "host:1", time.time())
    return queues()


@pytest.fixture
def bot(db: Any) -> BotConfig:
    """An active bot of a paper account on BTCUSDT."""
    owners.load_symbols()
    made = owners.make_bot(owners.make_account(owners.make_owner()))
    BotConfig.objects.filter(pk=made.pk).update(is_active=True)
    return made
