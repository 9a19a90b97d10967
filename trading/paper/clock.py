"""The paper exchange's one clock: wall time plus an offset, or a time that only moves when it is set."""

from __future__ import annotations

import time


class ClockRefused(ValueError):
    """Raised when a clock is asked for something its mode does not allow; the text says what to do."""


class Clock:
    """Server time in milliseconds since the epoch. One object per process; whoever needs time is given it."""

    def __init__(self, *, stepped_ms: int | None = None, offset_ms: int = 0) -> None:
        self._stepped_ms = stepped_ms
        self.offset_ms = offset_ms
        self._drift = 0.0  # milliseconds a minute
        self._drifts_since = time.monotonic()

    @property
    def mode(self) -> str:
        """`wall` or `stepped`."""
        return "wall" if self._stepped_ms is None else "stepped"

    def now_ms(self) -> int:
        """The exchange's time in milliseconds."""
        if self._stepped_ms is not None:
            return self._stepped_ms
        return time.time_ns() // 1_000_000 + self.offset_ms + self._drifted_ms()

    def _drifted_ms(self) -> int:
        if not self._drift:
            return 0
        return int(self._drift * (time.monotonic() - self._drifts_since) / 60)

    def set_drift(self, ms_per_minute: float, *, forget: bool = False) -> None:
        """Let the wall clock drift from now on. What it has drifted so far stays, unless it is forgotten."""
        self.offset_ms += 0 if forget else self._drifted_ms()
        self._drift, self._drifts_since = ms_per_minute, time.monotonic()

    def set_now(self, now_ms: int) -> None:
        """Make it `now_ms`. A stepped clock only goes forward; a wall clock goes on from there."""
        if self._stepped_ms is None:
            self.offset_ms += now_ms - self.now_ms()
        elif now_ms < self._stepped_ms:
            raise ClockRefused(f"the stepped clock stands at {self._stepped_ms} and only goes forward")
        else:
            self._stepped_ms = now_ms

    def set_offset(self, offset_ms: int) -> None:
        """Set the wall clock's distance from the machine's time. Raises ClockRefused when stepped."""
        if self._stepped_ms is not None:
            raise ClockRefused("a stepped clock has no offset: set now_ms instead")
        self.offset_ms = offset_ms
