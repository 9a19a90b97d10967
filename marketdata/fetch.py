"""Candles from the exchange: what is new, the history, and holes asked for once more. Keeps no state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from marketdata import candle_checks as checks
from marketdata.candle_checks import Gap, Rejection, Suspicion
from marketdata.intervals import count_missing
from marketdata.series import Series
from marketdata.types import Candles
from tradebot.clock import from_ms

CANDLES_KEPT = 1500  # closed candles kept of a series
PAGE = 1000  # the most that spot gives in one answer (rest-api.md, klines)
GAP_REQUESTS = 20  # holes asked for again in one go; behind an older hole the series is cut


class KlinesClient(Protocol):
    """The part of the exchange client that candles need."""

    def now_ms(self) -> int: ...

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
    ) -> list[list[Any]]: ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of asking. `candles` is the whole series to keep, `holes` those that the exchange has too."""

    candles: Candles
    holes: tuple[Gap, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    suspicion: Suspicion | None = None


def fetch_new(client: KlinesClient, series: Series, stored: Candles, suspicion: Suspicion | None) -> Fetched:
    """The stored series and what has closed since, in one request; too far behind, the history instead.

    The last stored candle is asked for again, so that a correction by the exchange is taken over. Raises the
    client's ExchangeError.
    """
    now = from_ms(client.now_ms())
    last_open_ms = int(stored.open_time_ms[-1])
    limit = count_missing(now, series.interval, last_open_ms) + 2  # the overlap, and the open candle
    if limit > PAGE:
        wanted = replace(series, candles=max(series.candles, len(stored)))
        return fetch_history(client, wanted, suspicion)
    rows = client.klines(series.symbol, series.interval, start_ms=last_open_ms, limit=limit)
    return _joined(client, series, stored, rows, suspicion, now)


def fetch_history(client: KlinesClient, series: Series, suspicion: Suspicion | None = None) -> Fetched:
    """The last `series.candles` closed candles, PAGE a request, backwards. Raises ExchangeError."""
    now = from_ms(client.now_ms())
    wanted = min(series.candles, CANDLES_KEPT) + 1  # with the open candle
    rows: list[list[Any]] = []
    is_exhausted = False
    end_ms: int | None = None
    while len(rows) < wanted and not is_exhausted:
        limit = min(PAGE, wanted - len(rows))
        page = client.klines(series.symbol, series.interval, end_ms=end_ms, limit=limit)
        times = [open_ms for open_ms in map(_open_time, page) if open_ms is not None]
        is_exhausted = len(page) < limit or not times
        rows = page + rows
        end_ms = min(times) - 1 if times else None
    return _joined(client, series, None, rows, suspicion, now)


def _joined(
    client: KlinesClient,
    series: Series,
    stored: Candles | None,
    rows: Sequence[Any],
    suspicion: Suspicion | None,
    now: datetime,
) -> Fetched:
    previous_close = float(stored.close[-1]) if stored is not None and len(stored) else None
    server_ms = client.now_ms()
    checked = checks.check_rows(rows, series.interval, server_ms, previous_close=previous_close)
    suspicion = checks.look_again(suspicion, checked.suspect, now) if checked.suspect else None
    if suspicion is not None and suspicion.is_confirmed:
        trusted = (suspicion.open_time_ms, suspicion.close)
        checked = checks.check_rows(
            rows, series.interval, server_ms, previous_close=previous_close, trusted=trusted
        )
        suspicion = None
    candles = checks.join(stored, checked.candles, series.interval, CANDLES_KEPT)
    known = checks.gaps(stored, series.interval) if stored is not None else ()
    candles, holes, rejections = _fill_gaps(client, series, candles, known)
    return Fetched(candles, holes, checked.rejections + rejections, suspicion)


def _fill_gaps(
    client: KlinesClient, series: Series, candles: Candles, known: tuple[Gap, ...]
) -> tuple[Candles, tuple[Gap, ...], tuple[Rejection, ...]]:
    """Ask for each hole that is not `known` by its own times; what stays missing, the exchange hasn't got."""
    unknown = [gap for gap in checks.gaps(candles, series.interval) if gap not in known]
    if len(unknown) > GAP_REQUESTS:
        candles = checks.since(candles, unknown[-GAP_REQUESTS - 1].end_ms, series.interval)
        unknown = unknown[-GAP_REQUESTS:]
    rejections: list[Rejection] = []
    for gap in unknown:
        missing = count_missing(from_ms(gap.end_ms), series.interval, gap.start_ms) + 1
        rows = client.klines(
            series.symbol,
            series.interval,
            start_ms=gap.start_ms,
            end_ms=gap.end_ms - 1,
            limit=min(PAGE, missing),
        )
        before = candles.open_time_ms < gap.start_ms
        checked = checks.check_rows(
            rows,
            series.interval,
            client.now_ms(),
            previous_close=float(candles.close[before][-1]),
        )
        rejections.extend(checked.rejections)
        candles = checks.join(candles, checked.candles, series.interval, CANDLES_KEPT)
    holes = [gap for gap in checks.gaps(candles, series.interval) if gap not in known]
    return candles, tuple(holes), tuple(rejections)


def _open_time(row: Any) -> int | None:
    try:
        return int(row[0])
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None
