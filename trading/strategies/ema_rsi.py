"""ema_rsi: in where the fast EMA crosses the slow one and RSI is not extreme, out on the way back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marketdata.intervals import close_of
from marketdata.types import Candles
from tradebot.errors import StaleData
from trading.indicators import MIN_PERIOD, ema, rsi
from trading.strategies.base import Params, Strategy, WholeNumber, clean_tail, refuse, whole_numbers
from trading.texts import number
from trading.types import Signal

MAX_PERIOD = 500
EMA_WARM_UP = 20  # periods until a recursion from any start gives the same bits
RSI_WARM_UP = 50

FIELDS = {
    "ema_fast": WholeNumber(9, MIN_PERIOD, MAX_PERIOD),
    "ema_slow": WholeNumber(21, MIN_PERIOD, MAX_PERIOD),
    "rsi_period": WholeNumber(14, MIN_PERIOD, MAX_PERIOD),
    "rsi_entry_max": WholeNumber(70, 1, 100),
    "rsi_exit": WholeNumber(80, 1, 100, is_optional=True),
}


def validate(params: object) -> dict[str, Any]:
    """Cleaned parameters with defaults filled in. Raises InvalidInput that names every field at fault.

    Periods are 2..500 (TA-Lib's RSI has no period of 1) and fast < slow; RSI bounds are 1..100 and
    rsi_entry_max < rsi_exit; rsi_exit None switches the exit by RSI off.
    """
    cleaned = whole_numbers(params, FIELDS)
    faults = {}
    if cleaned["ema_fast"] >= cleaned["ema_slow"]:
        faults["strategy_params.ema_fast"] = (
            f"ema_fast ({cleaned['ema_fast']}) must be below ema_slow ({cleaned['ema_slow']})."
        )
    if cleaned["rsi_exit"] is not None and cleaned["rsi_entry_max"] >= cleaned["rsi_exit"]:
        faults["strategy_params.rsi_exit"] = (
            f"rsi_exit ({cleaned['rsi_exit']}) must be above rsi_entry_max"
            f" ({cleaned['rsi_entry_max']}), or null for off."
        )
    refuse(faults)
    return cleaned


def intervals(interval: str, params: Params) -> tuple[str, ...]:
    """The bot's own candles only."""
    return (interval,)


def warm_up(params: Params) -> int:
    """Candles without a hole for a ready signal: 20 EMA or 50 RSI periods, and one to see the cross."""
    longest_ema = max(params["ema_fast"], params["ema_slow"])
    return int(max(EMA_WARM_UP * longest_ema, RSI_WARM_UP * params["rsi_period"])) + 1


def signals(candles_by_interval: Mapping[str, Candles], params: Params) -> Signal:
    """The signal at the close of the last candle of the first series; `params` as validate() gave them.

    Always reckoned from exactly the last warm_up() candles, so that every process gives the same
    bits whatever history it holds. Not ready while a hole or a young series leaves fewer. Raises
    StaleData as clean_tail() does.
    """
    if not candles_by_interval:
        raise StaleData("there are no candles")
    interval, candles = next(iter(candles_by_interval.items()))
    needed = warm_up(params)
    close = clean_tail(candles, needed)
    as_of = close_of(int(candles.open_time_ms[-1]), interval)
    last = float(close[-1])
    if len(close) < needed:
        return Signal(
            as_of, last, ready=False, texts=(f"{len(close)} of {needed} candles behind the last hole",)
        )
    fast, slow = ema(close, params["ema_fast"]), ema(close, params["ema_slow"])
    strength = float(rsi(close, params["rsi_period"])[-1])
    crossed_up = bool(fast[-2] <= slow[-2] and fast[-1] > slow[-1])
    crossed_down = bool(fast[-2] >= slow[-2] and fast[-1] < slow[-1])
    entry_max, leave = params["rsi_entry_max"], params["rsi_exit"]
    values = {"ema_fast": float(fast[-1]), "ema_slow": float(slow[-1]), "rsi": strength}
    return Signal(
        as_of,
        last,
        ready=True,
        enter_long=crossed_up and strength <= entry_max,
        exit_long=crossed_down or (leave is not None and strength >= leave),
        enter_short=crossed_down and strength >= 100 - entry_max,
        exit_short=crossed_up or (leave is not None and strength <= 100 - leave),
        values=values,
        texts=_texts(values, params, crossed_up=crossed_up, crossed_down=crossed_down),
    )


def _texts(
    values: Mapping[str, float], params: Params, *, crossed_up: bool, crossed_down: bool
) -> tuple[str, ...]:
    fast = f"EMA {params['ema_fast']} ({number(values['ema_fast'])})"
    slow = f"EMA {params['ema_slow']} ({number(values['ema_slow'])})"
    strength, entry_max, leave = values["rsi"], params["rsi_entry_max"], params["rsi_exit"]
    if crossed_up:
        cross = f"{fast} crossed above {slow}"
    elif crossed_down:
        cross = f"{fast} crossed below {slow}"
    else:
        cross = f"{fast} did not cross {slow}"
    if crossed_up and strength > entry_max:
        return (f"RSI {strength:.1f} is above {entry_max} as {cross}",)
    if crossed_down and strength < 100 - entry_max:
        return (f"RSI {strength:.1f} is below {100 - entry_max} as {cross}",)
    if leave is not None and strength >= leave:
        return f"RSI {strength:.1f} is at or above {leave}", cross
    if leave is not None and strength <= 100 - leave:
        return f"RSI {strength:.1f} is at or below {100 - leave}", cross
    return (f"{cross}, RSI {strength:.1f}",)


EMA_RSI = Strategy(
    name="ema_rsi",
    version=1,
    defaults={name: field.default for name, field in FIELDS.items()},
    validate=validate,
    intervals=intervals,
    warm_up=warm_up,
    signals=signals,
)
