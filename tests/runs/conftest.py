"""Fixtures of the runs: a desk whose market gives one buy signal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.desk import Desk, open_desk


@pytest.fixture
def desk(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Desk]:
    """A desk a moment before the signal of BTCUSDT."""
    made = open_desk(tmp_path, settings, django_user_model)
    yield made
    made.feed.close()
    made.paper.stop()
