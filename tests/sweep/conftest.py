"""Desks for comparing with the exchange, on both markets; all of them are ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.desk import Desk, open_desk


@pytest.fixture
def open_one(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Callable[..., Desk]]:
    """Opens a desk: `open_one(market="futures")`; spot unless told otherwise."""
    made: list[Desk] = []

    def make(**options: Any) -> Desk:
        made.append(open_desk(tmp_path, settings, django_user_model, **options))
        return made[-1]

    yield make
    for desk in made:
        desk.feed.close()
        desk.paper.stop()


@pytest.fixture
def spot(open_one) -> Desk:
    """A spot desk a moment before the signal to buy."""
    return open_one()


@pytest.fixture
def futures(open_one) -> Desk:
    """A futures desk a moment before the signal to buy."""
    return open_one(market="futures")
