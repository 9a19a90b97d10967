"""Desks of both markets for the tests of resting stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.desk import Desk, open_desk


@pytest.fixture
def open_market(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Callable[..., Desk]]:
    """Opens a desk a moment before its signal: `open_market(market="futures", falls=True)`."""
    made: list[Desk] = []

    def make(**options: Any) -> Desk:
        made.append(open_desk(tmp_path, settings, django_user_model, **options))
        return made[-1]

    yield make
    for desk in made:
        desk.feed.close()
        desk.paper.stop()


@pytest.fixture
def desk(open_market) -> Desk:
    """A spot desk."""
    return open_market()
