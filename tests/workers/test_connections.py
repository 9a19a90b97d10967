"""What a time limit can leave behind in a thread's connection costs the next message nothing."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from bots.models import BotConfig
from tradebot.middleware import CleanConnections


@pytest.fixture(params=["entered", "entered and closed"])
def poisoned(request, transactional_db):
    """A connection that believes to be in a transaction, as when a limit strikes before its body begins."""
    transaction.Atomic(using=None, savepoint=True, durable=True).__enter__()
    if request.param == "entered and closed":
        connection.close()
    with pytest.raises(RuntimeError, match="durable atomic block"), transaction.atomic(durable=True):
        pass
    yield
    CleanConnections().before_process_message(None, None)


@pytest.mark.parametrize("moment", ["before_process_message", "after_process_message"])
def test_a_connection_that_was_left_in_a_transaction_is_made_usable(poisoned, moment):
    getattr(CleanConnections(), moment)(None, None)
    with transaction.atomic(durable=True):
        assert BotConfig.objects.count() == 0
    assert connection.get_autocommit()
