"""Desks for tests of the books."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from tests.support.desk import SIGNAL, Desk, open_desk

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


@pytest.fixture
def make_desk(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Callable[..., Desk]]:
    """Opens a desk with the given symbols and options; it is closed at the end."""
    with ExitStack() as stack:

        def make(*names: str, **options: object) -> Desk:
            desk = open_desk(tmp_path, settings, django_user_model, names or ("BTCUSDT",), **options)  # type: ignore[arg-type]
            stack.callback(desk.paper.stop)
            stack.callback(desk.feed.close)
            return desk

        yield make


@pytest.fixture
def desk(make_desk) -> Desk:
    """A desk a moment before the signal of BTCUSDT."""
    return make_desk()


@pytest.fixture
def holder(desk):
    """A bot in position, on the desk."""
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    return bot
