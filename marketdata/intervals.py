"""Binance's candle intervals: names, lengths and when candles open and close. Pure; all may import it."""

from __future__ import annotations

from datetime import UTC, datetime

from tradebot.errors import InvalidInput

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
MONTH = "1M"
MONDAY_MS = 4 * DAY_MS  # 1970-01-05, the first Monday of the epoch

# Those that spot and futures both have. "1s" is left out: it is spot's only, and runs fall due by the minute.
_LENGTHS_MS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
    MONTH: 30 * DAY_MS,
}
INTERVALS: tuple[str, ...] = tuple(_LENGTHS_MS)


def interval_ms(interval: str) -> int:
    """The length of `interval` in ms; of "1M", whose candles differ in length, nominally 30 days.

    Raises InvalidInput (field "interval") for a name that Binance doesn't have; case counts: 1m, 1M.
    """
    try:
        return _LENGTHS_MS[interval]
    except (KeyError, TypeError):
        raise InvalidInput(
            f"The interval {interval!r} does not exist. Choose one of {', '.join(INTERVALS)}.",
            field="interval",
        ) from None


def open_of_ms(moment_ms: int, interval: str) -> int:
    """The open time, in ms since the epoch, of the candle that `moment_ms` falls into.

    All are aligned to UTC: weeks begin on Monday, months on their first day; the rest, 3d too, count from
    the epoch (for 3d no document says so: nothing is refused because of it).
    """
    length = interval_ms(interval)
    if interval == MONTH:
        moment = datetime.fromtimestamp(moment_ms // 1000, UTC)
        return _month_ms(moment.year, moment.month)
    anchor = MONDAY_MS if interval == "1w" else 0
    return anchor + (moment_ms - anchor) // length * length


def following_open_ms(open_ms: int, interval: str) -> int:
    """The open time in ms of the candle behind the one that opened at `open_ms`: its close, less 1 ms."""
    if interval == MONTH:
        moment = datetime.fromtimestamp(open_ms // 1000, UTC)
        years, month = divmod(moment.month, 12)
        return _month_ms(moment.year + years, month + 1)
    return open_ms + interval_ms(interval)


def is_aligned(open_ms: int, interval: str) -> bool:
    """Whether a candle of `interval` can open at `open_ms` (3d: at any midnight)."""
    return open_of_ms(open_ms, "1d" if interval == "3d" else interval) == open_ms


def last_close(now: datetime, interval: str) -> datetime:
    """The last close at or before `now`: the open time of the candle that is open now."""
    return _from_ms(open_of_ms(_to_ms(now), interval))


def next_close(now: datetime, interval: str) -> datetime:
    """The first close after `now`."""
    return _from_ms(following_open_ms(open_of_ms(_to_ms(now), interval), interval))


def close_of(open_ms: int, interval: str) -> datetime:
    """When the candle that opened at `open_ms` closes: the time its signals are "as of"."""
    return _from_ms(following_open_ms(open_ms, interval))


def closes_at(slot: datetime, interval: str) -> bool:
    """Whether a candle of `interval` closes at exactly `slot`."""
    return open_of_ms(_to_ms(slot), interval) == _to_ms(slot)


def is_due(now: datetime, interval: str, last_open_ms: int | None) -> bool:
    """Whether a candle has closed by `now` behind the one that opened at `last_open_ms` (None: have none)."""
    if last_open_ms is None:
        return True
    first_missing = following_open_ms(last_open_ms, interval)
    return following_open_ms(first_missing, interval) <= _to_ms(now)


def count_missing(now: datetime, interval: str, last_open_ms: int) -> int:
    """How many candles have closed by `now` behind the one that opened at `last_open_ms`."""
    first_missing = following_open_ms(last_open_ms, interval)
    span_ms = open_of_ms(_to_ms(now), interval) - first_missing
    return max(0, -(-span_ms // interval_ms(interval)))


def _month_ms(year: int, month: int) -> int:
    return _to_ms(datetime(year, month, 1, tzinfo=UTC))


def _to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _from_ms(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
