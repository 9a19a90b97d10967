"""The feed: keeps candles and prices of all series in use, however many bots read them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime

import redis
from django.db import DatabaseError, InterfaceError, close_old_connections
from dramatiq.errors import DramatiqError

from marketdata.intervals import INTERVALS
from marketdata.series import Series
from marketdata.source_feed import FeedClient, SourceFeed
from tradebot import beats
from tradebot.binance.sources import Source
from tradebot.clock import to_ms
from tradebot.errors import TradebotError
from tradebot.redis import redis_client

logger = logging.getLogger(__name__)

BEAT_KEY = beats.FEED_KEY  # ms since the epoch of the last sign of life
BEAT_KEEP_SECONDS = 60
TURN_SECONDS = 0.2  # between two steps of a source
LOOK_SECONDS = 1.0  # between two looks for new series
HUNG_SECONDS = 120.0  # a source that has not ended a step for this long stops the heartbeat
AFTER_FAILURE_SECONDS = 2.0
# What a step may end with although the feed is sound: the next one tries again.
PASSING = (TradebotError, redis.RedisError, DatabaseError, InterfaceError, DramatiqError)


class Feed:
    """Candles and prices of many series: one request per (source, symbol, interval) and close.

    `series` names the series in use with the candles that each needs; the largest need of equal ones counts.
    `on_closed` gets the close time (the slot) of candles that were just stored; it is called from the threads
    of the sources, several times when some come late. `client_for` makes a client for one thread.
    """

    def __init__(
        self,
        series: Callable[[], Iterable[Series]],
        on_closed: Callable[[datetime], None],
        client_for: Callable[[Source], FeedClient],
        clock: Callable[[], datetime],
    ) -> None:
        self._series = series
        self._on_closed = on_closed
        self._client_for = client_for
        self._clock = clock
        self._sources: dict[Source, SourceFeed] = {}
        self._runners: dict[Source, _Runner] = {}
        self._refused: set[Series] = set()

    def refresh_series(self) -> tuple[Series, ...]:
        """Ask which series are in use, and give each source its own. Steps after it know new ones."""
        needs: dict[Series, Series] = {}
        for series in self._series():
            if series.interval not in INTERVALS:
                self._refuse(series)
                continue
            known = needs.get(series)
            if known is None or known.candles < series.candles:
                needs.pop(series, None)
                needs[series] = series
        for source in {series.source for series in needs} - self._sources.keys():
            self._sources[source] = SourceFeed(source, self._client_for, self._on_closed)
        for source, feed in self._sources.items():
            feed.series = tuple(series for series in needs if series.source == source)
        return tuple(needs)

    def _refuse(self, series: Series) -> None:
        if series not in self._refused:
            self._refused.add(series)
            logger.error("The feed leaves out %s: there is no such interval.", series)

    def warm_up(self, now: datetime) -> list[Series]:
        """Fetch the history of series that lack it, up to 100 a source; give those that have it now."""
        return [done for feed in self._sources.values() for done in feed.warm_up(now)]

    def poll_closed(self, now: datetime) -> list[Series]:
        """Fetch the candles that have closed by `now`, tell the screen, and give the series with new ones."""
        return [new for feed in self._sources.values() for new in feed.poll_closed(now)]

    def poll_prices(self, now: datetime) -> int:
        """Fetch and store the prices of all sources; give how many were stored."""
        return sum(len(feed.poll_prices(now)) for feed in self._sources.values())

    def beat(self, now: datetime) -> bool:
        """Write the heartbeat, unless a source hangs; give whether it was written."""
        if any(runner.idle_seconds > HUNG_SECONDS for runner in self._runners.values()):
            return False
        redis_client().set(BEAT_KEY, to_ms(now), ex=BEAT_KEEP_SECONDS)
        return True

    def run_forever(self, stop: threading.Event) -> None:
        """Feed until `stop` is set. Each source has a thread, so that one that is down holds up no other.

        What passes by itself (exchange, Redis, database) is logged and tried again; any other error ends the
        feed and is raised, for its supervisor to start it again.
        """
        try:
            while not stop.is_set():
                try:
                    close_old_connections()
                    self.refresh_series()
                    self.beat(self._clock())
                except PASSING:
                    logger.exception("The feed could not look for series in use.")
                for source, feed in list(self._sources.items()):
                    if source not in self._runners:
                        self._runners[source] = _Runner(feed, self._clock, stop)
                        self._runners[source].start()
                for runner in self._runners.values():
                    if runner.error is not None:
                        raise runner.error
                stop.wait(LOOK_SECONDS)
        finally:
            stop.set()
            self.close()

    def close(self) -> None:
        """End the threads of the sources; waits for a step under way, at most 20 s each."""
        for runner in self._runners.values():
            runner.join(timeout=20.0)
        for feed in self._sources.values():
            feed.close()


class _Runner(threading.Thread):
    """The thread of one source: steps until told to stop, or until an error that doesn't pass."""

    def __init__(self, feed: SourceFeed, clock: Callable[[], datetime], stop: threading.Event) -> None:
        super().__init__(name=f"feed-{feed.source.name}-{feed.source.market}", daemon=True)
        self._feed = feed
        self._clock = clock
        self._stop_event = stop
        self._last_step = time.monotonic()
        self.error: BaseException | None = None

    @property
    def idle_seconds(self) -> float:
        """How long ago the last step ended."""
        return time.monotonic() - self._last_step

    def run(self) -> None:
        """Step, wait, repeat."""
        try:
            while not self._stop_event.is_set():
                self._turn()
        except BaseException as error:  # noqa: BLE001 -- handed to the main thread, which raises it
            self.error = error
        finally:
            close_old_connections()

    def _turn(self) -> None:
        wait_seconds = TURN_SECONDS
        try:
            close_old_connections()
            self._feed.step(self._clock())
        except PASSING:
            logger.exception("A step of the feed of %s failed.", self._feed.source.name)
            wait_seconds = AFTER_FAILURE_SECONDS
        self._last_step = time.monotonic()
        self._stop_event.wait(wait_seconds)
