"""Listen keys of futures user streams, one per account, in memory: a key lives for 60 minutes."""

from __future__ import annotations

import secrets

LIFE_MS = 60 * 60_000


class ListenKeys:
    """The current keys."""

    def __init__(self) -> None:
        self._keys: dict[int, tuple[str, int]] = {}

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
            self._keys[account_id] = (secrets.token_hex(32), now_ms + LIFE_MS)
        return self._keys[account_id][0]

    def drop(self, account_id: int) -> None:
        """End the account's key."""
        self._keys.pop(account_id, None)
