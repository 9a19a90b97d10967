"""The feed of one source: closed candles, history and prices, in steps that can be taken one by one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from marketdata import candles, prices, symbols
from marketdata.candle_checks import Suspicion
from marketdata.fetch import CANDLES_KEPT, Fetched, KlinesClient, fetch_history, fetch_new
from marketdata.intervals import close_of, is_due
from marketdata.series import Series
from marketdata.types import Candles
from tradebot.binance import outage
from tradebot.clock import to_ms
from tradebot.errors import ExchangeError, RateLimited

if TYPE_CHECKING:
    from tradebot.binance.sources import Source

logger = logging.getLogger(__name__)

CLOSE_DELAY = timedelta(seconds=0.4)  # after a close, before the first question
RETRY = timedelta(seconds=0.5)  # doubled with each answer that lacks the candle: 5 questions within 10 s
RETRY_CAP = timedelta(seconds=30)
HISTORY_EVERY = timedelta(seconds=1)  # between two looks for series without enough history
PRICES_EVERY = timedelta(seconds=3)
SYMBOLS_EVERY = timedelta(seconds=30)  # between two looks whether Redis still has the symbols
BATCH = 100  # series asked for before their candles are stored
TELL_SECONDS = 3.0  # stored candles wait no longer for the rest before the screen is told
THREADS = 4  # requests at once; more would only reach the exchange's limits sooner
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class FeedClient(KlinesClient, Protocol):
    """The part of the exchange client that the feed needs."""

    def prices(self) -> dict[str, str]: ...

    def exchange_info(self) -> dict[str, Any]: ...


@dataclass(slots=True)
class _Track:
    """What the feed remembers of a series; all of it can be found anew after a restart."""

    last_open_ms: int | None = None
    failures: int = 0  # answers in a row without a new candle
    next_try: datetime = LONG_AGO
    satisfied: int = 0  # the need for which the exchange gave all the history it has
    suspicion: Suspicion | None = None


@dataclass(slots=True)
class SourceFeed:
    """Feeds the series of one source. Steps are called from one thread; only requests run in the pool.

    `client_for` gives a client per thread of the pool; `on_closed` gets the close time of new candles.
    """

    source: Source
    client_for: Callable[[Source], FeedClient]
    on_closed: Callable[[datetime], None]
    series: tuple[Series, ...] = ()
    _tracks: dict[Series, _Track] = field(default_factory=dict)
    _local: threading.local = field(default_factory=threading.local)
    _pool: ThreadPoolExecutor | None = None
    _gate: prices.PriceGate | None = None
    _history_due: datetime = LONG_AGO
    _prices_due: datetime = LONG_AGO
    _symbols_due: datetime = LONG_AGO
    _not_before: datetime = LONG_AGO  # the exchange said when to come back

    def step(self, now: datetime) -> None:
        """One turn: history for series without, candles that have just closed, prices when they are due."""
        if now >= self._history_due:
            self.warm_up(now)
        self.poll_closed(now)
        if now >= self._prices_due:
            self.poll_prices(now)
        if now >= self._symbols_due:
            self.look_after_symbols(now)

    def warm_up(self, now: datetime) -> list[Series]:
        """Fetch the history of up to BATCH series that have none, or less than they need; give those done.

        Series that vanished from Redis, or whose value is broken in length, are found here too.
        """
        self._forget_unused()
        series_in_use = self.series  # another thread may replace it
        held = candles.counts(series_in_use)
        self._history_due = now + HISTORY_EVERY
        short = [s for s in series_in_use if self._is_short(s, held[s]) and self._may_try(s, now)]
        done = self._fetch([(s, None) for s in short[:BATCH]], now)
        for series, fetched in done:
            track = self._tracks[series]
            if fetched.suspicion is None:
                track.satisfied = series.candles
            self._schedule(track, now, failed=not len(fetched.candles))
        return [series for series, fetched in done if len(fetched.candles)]

    def poll_closed(self, now: datetime) -> list[Series]:
        """Ask for the candles that have closed, once a series, store them, tell the screen; give what is new.

        A candle that the exchange doesn't have yet is asked for again after 0.5, 1, 2 ... 30 s.
        """
        due = [s for s in self.series if self._is_due(s, now) and self._may_try(s, now)]
        updated: list[Series] = []
        untold: list[Series] = []
        told = time.monotonic()
        for start in range(0, len(due), BATCH):
            untold += self._poll_batch(due[start : start + BATCH], now)
            is_last = start + BATCH >= len(due)
            if untold and (is_last or time.monotonic() - told >= TELL_SECONDS):
                self._tell(untold)
                updated, untold, told = updated + untold, [], time.monotonic()
        return updated

    def _tell(self, series: Sequence[Series]) -> None:
        """Have the bots looked at: one look of all of them for many series, not one for each batch."""
        close_times = [self._close_time(one) for one in series]
        self.on_closed(max(moment for moment in close_times if moment is not None))

    def poll_prices(self, now: datetime) -> dict[str, float]:
        """Ask for all prices in one request and store those of symbols in use; give what was stored."""
        self._prices_due = now + PRICES_EVERY
        names = {series.symbol for series in self.series}
        if not names or now < self._not_before:
            return {}
        if self._gate is None:
            known = prices.load_many(self.source, names)
            self._gate = prices.PriceGate({s: price.price for s, price in known.items()})
        try:
            answer = self._client().prices()
        except ExchangeError as error:
            self._note_failure(error, "prices", now)
            return {}
        outage.note_good_probe(self.source)
        passed = self._gate.sift(answer, names)
        prices.store(self.source, passed, now)
        return passed

    def look_after_symbols(self, now: datetime) -> bool:
        """Fetch the symbols if Redis has none: the schedule's next turn may be far away. True if it did."""
        self._symbols_due = now + SYMBOLS_EVERY
        if not self.series or symbols.counters(self.source).refreshed_at is not None:
            return False
        return symbols.refresh(self.source, client=self._client()).ok

    def close(self) -> None:
        """End the pool; requests under way end by their own time limits."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _poll_batch(self, due: Sequence[Series], now: datetime) -> list[Series]:
        stored = candles.load_many(due)
        new: list[Series] = []
        for series, fetched in self._fetch([(s, stored.get(s)) for s in due], now):
            track = self._tracks[series]
            old = stored.get(series)
            is_new = old is None or _last_open_ms(fetched.candles) != _last_open_ms(old)
            self._schedule(track, now, failed=not is_new)
            if is_new:
                new.append(series)
        return new

    def _close_time(self, series: Series) -> datetime | None:
        last_open_ms = self._tracks[series].last_open_ms
        return None if last_open_ms is None else close_of(last_open_ms, series.interval)

    def _fetch(
        self, wanted: Sequence[tuple[Series, Candles | None]], now: datetime
    ) -> list[tuple[Series, Fetched]]:
        """Fetch in the pool, then keep what came in this thread; a series that failed is left out."""
        if not wanted or now < self._not_before:
            return []
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="feed")
        done = []
        for (series, _), answer in zip(wanted, self._pool.map(self._ask, wanted), strict=True):
            if isinstance(answer, ExchangeError):
                self._schedule(self._tracks[series], now, failed=True)
                self._note_failure(answer, str(series), now)
            else:
                done.append((series, answer))
        self._keep(done, now)
        return done

    def _ask(self, wanted: tuple[Series, Candles | None]) -> Fetched | ExchangeError:
        series, stored = wanted
        suspicion = self._tracks[series].suspicion
        try:
            if stored is None:
                return fetch_history(self._client(), series, suspicion)
            return fetch_new(self._client(), series, stored, suspicion)
        except ExchangeError as error:
            return error

    def _keep(self, done: Iterable[tuple[Series, Fetched]], now: datetime) -> None:
        """Holes first: where the database refuses them, the candles are not stored and are fetched anew."""
        for series, fetched in done:
            if fetched.holes:
                candles.record_holes(series, fetched.holes)
            candles.record_rejections(series, fetched.rejections, to_ms(now))
        candles.store({s: fetched.candles for s, fetched in done if len(fetched.candles)})
        for series, fetched in done:
            track = self._tracks[series]
            track.suspicion = fetched.suspicion
            track.last_open_ms = _last_open_ms(fetched.candles)

    def _client(self) -> FeedClient:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self.client_for(self.source)
        return client

    def _is_short(self, series: Series, held: int) -> bool:
        need = min(series.candles, CANDLES_KEPT)
        return held == 0 or (held < need and self._track(series).satisfied < series.candles)

    def _is_due(self, series: Series, now: datetime) -> bool:
        return is_due(now - CLOSE_DELAY, series.interval, self._track(series).last_open_ms)

    def _may_try(self, series: Series, now: datetime) -> bool:
        return now >= self._track(series).next_try

    def _track(self, series: Series) -> _Track:
        return self._tracks.setdefault(series, _Track())

    def _forget_unused(self) -> None:
        for gone in self._tracks.keys() - set(self.series):
            del self._tracks[gone]

    def _schedule(self, track: _Track, now: datetime, *, failed: bool) -> None:
        if failed:
            track.next_try = now + min(RETRY * 2 ** min(track.failures, 10), RETRY_CAP)
            track.failures += 1
        else:
            track.failures, track.next_try = 0, LONG_AGO

    def _note_failure(self, error: ExchangeError, what: str, now: datetime) -> None:
        if isinstance(error, RateLimited):
            wait = timedelta(seconds=max(1.0, error.retry_after_seconds))
            self._not_before = max(self._not_before, now + wait)
        logger.warning("No answer from %s for %s: %s", self.source.name, what, error)


def _last_open_ms(held: Candles) -> int | None:
    return int(held.open_time_ms[-1]) if len(held) else None
