"""What is told leaves with the commit, and not without one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.paper.rig import make_rig

FLAT = (100.0, 100.0, 100.0, 100.0)


def test_a_failed_transaction_tells_nothing_and_the_next_one_only_its_own(
    candles: Callable[..., Path],
) -> None:
    rig = make_rig(candles(FLAT, FLAT))
    books, heard = rig.exchange.books, list[dict[str, Any]]()
    leave = books.feed.listen("spot", rig.account.id, heard.append)

    def fail() -> None:
        with books.transaction():
            rig.exchange.set_balances(rig.account, {"USDT": Decimal(1)})
            books.feed.tell("spot", rig.account.id, {"e": "balanceUpdate"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert heard == []
    with books.transaction():
        rig.exchange.set_balances(rig.account, {"BNB": Decimal(2)})
        assert heard == []
    assert [(one["e"], [row["a"] for row in one["B"]]) for one in heard] == [
        ("outboundAccountPosition", ["BNB"])
    ]
    leave()
    rig.exchange.set_balances(rig.account, {"BNB": Decimal(3)})
    assert not books.feed.has_listeners
    assert len(heard) == 1
