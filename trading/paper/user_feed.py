"""Events of accounts on their way from the books to whoever listens: told in a transaction, sent after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trading.paper.orders import number

Event = dict[str, Any]
Deliver = Callable[[Event], None]


class UserFeed:
    """One per exchange. What is told inside a transaction leaves at its commit, and not if it fails.

    `now_ms` gives the event time; `balances` are those of spot accounts that changed, sent together.
    """

    def __init__(self) -> None:
        self.now_ms: Callable[[], int] = lambda: 0
        self._listeners: dict[tuple[str, int], list[Deliver]] = {}
        self._pending: list[tuple[str, int, Event]] = []
        self._balances: dict[int, tuple[Any, dict[str, None]]] = {}

    @property
    def has_listeners(self) -> bool:
        """Whether anybody listens to any account."""
        return bool(self._listeners)

    def listens(self, market: str, account_id: int) -> bool:
        """Whether anybody listens to this account: nothing need be told otherwise."""
        return (market, account_id) in self._listeners

    def listen(self, market: str, account_id: int, deliver: Deliver) -> Callable[[], None]:
        """Have every event of an account delivered; what is returned ends it."""
        key = (market, account_id)
        self._listeners.setdefault(key, []).append(deliver)

        def leave() -> None:
            rows = self._listeners.get(key, [])
            if deliver in rows:
                rows.remove(deliver)
            if not rows:
                self._listeners.pop(key, None)

        return leave

    def tell(self, market: str, account_id: int, event: Event) -> None:
        """An event of an account, with everything but its event time."""
        if self.listens(market, account_id):
            self._pending.append((market, account_id, event))

    def balance(self, account: Any, asset: str) -> None:
        """An asset of a spot account changed."""
        if self.listens("spot", account.id):
            self._balances.setdefault(account.id, (account, {}))[1][asset] = None

    def discard(self) -> None:
        """The transaction failed: nothing happened."""
        self._pending.clear()
        self._balances.clear()

    def flush(self) -> None:
        """The transaction is committed: send what was told, then the balances that changed."""
        if not self._pending and not self._balances:
            return
        now_ms = self.now_ms()
        pending, self._pending = self._pending, []
        balances, self._balances = self._balances, {}
        for account_id, (account, assets) in balances.items():
            pending.append(("spot", account_id, account_position(account, list(assets), now_ms)))
        for market, account_id, event in pending:
            for deliver in list(self._listeners.get((market, account_id), ())):
                deliver({"e": event["e"], "E": now_ms, **event})


def account_position(account: Any, assets: list[str], at_ms: int) -> Event:
    """outboundAccountPosition: what an account has of these assets now (user-data-stream.md)."""
    return {
        "e": "outboundAccountPosition",
        "u": at_ms,
        "B": [
            {
                "a": name,
                "f": number(account.balance(name).free),
                "l": number(account.balance(name).locked),
            }
            for name in assets
        ],
    }


def balance_update(asset: str, delta: Any, at_ms: int) -> Event:
    """balanceUpdate: a deposit, a withdrawal or a transfer."""
    return {"e": "balanceUpdate", "a": asset, "d": number(delta), "T": at_ms}
