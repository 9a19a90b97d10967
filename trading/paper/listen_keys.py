"""Listen keys of futures user streams, one per account, in memory: a key lives for 60 minutes."""

from __future__ import annotations

import secrets
from collections.abc import Callable

LIFE_MS = 60 * 60_000
Ended = Callable[[bool], None]  # told when a key is over: whether it expired


class ListenKeys:
    """The current keys, and who wants to know when one is over."""

    def __init__(self) -> None:
        self._keys: dict[int, tuple[str, int]] = {}
        self._waiting: dict[str, list[Ended]] = {}

    def extend(self, account_id: int, now_ms: int) -> bool:
        """Give the account's key another hour; whether there is one."""
        key, until_ms = self._keys.get(account_id, ("", 0))
        if now_ms >= until_ms:
            return False
        self._keys[account_id] = (key, now_ms + LIFE_MS)
        return True

    def make(self, account_id: int, now_ms: int) -> str:
        """The account's key, extended; a new one if there is none."""
        if not self.extend(account_id, now_ms):
            self._end(account_id, expired=True)
            self._keys[account_id] = (secrets.token_hex(32), now_ms + LIFE_MS)
        return self._keys[account_id][0]

    def account_of(self, key: str, now_ms: int) -> int | None:
        """Whose key this is; None for one that is unknown or over."""
        for account_id, (known, until_ms) in self._keys.items():
            if known == key and now_ms < until_ms:
                return account_id
        return None

    def drop(self, account_id: int) -> None:
        """End the account's key."""
        self._end(account_id, expired=False)

    def expire(self, account_id: int | None = None) -> int:
        """Let a key expire now, or all; how many that were."""
        chosen = [one for one in self._keys if account_id in (None, one)]
        for one in chosen:
            self._end(one, expired=True)
        return len(chosen)

    def end_expired(self, now_ms: int) -> None:
        """End keys whose time is over."""
        for account_id in [one for one, (_, until_ms) in self._keys.items() if now_ms >= until_ms]:
            self._end(account_id, expired=True)

    def _end(self, account_id: int, *, expired: bool) -> None:
        key, _ = self._keys.pop(account_id, ("", 0))
        for told in self._waiting.pop(key, []):
            told(expired)

    def on_end(self, key: str, told: Ended) -> Callable[[], None]:
        """Have `told` called when the key is over; what is returned forgets that."""
        self._waiting.setdefault(key, []).append(told)

        def forget() -> None:
            rows = self._waiting.get(key, [])
            if told in rows:
                rows.remove(told)
            if not rows:
                self._waiting.pop(key, None)

        return forget
