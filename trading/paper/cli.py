"""The command line, shared by `python -m trading.paper` and the Django command, and the run itself."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from aiohttp import web

from trading.paper.books import BooksRefused
from trading.paper.control import EXCHANGE
from trading.paper.exchange import Options, build
from trading.paper.fault_model import FaultRefused
from trading.paper.fault_refusals import REASONS
from trading.paper.live import load_listing
from trading.paper.live_market import Listing, LiveRefused
from trading.paper.replay import CandlesRefused
from trading.paper.scenarios import described, read_faults, scenario_texts
from trading.paper.server import make_app
from trading.paper.symbols import DEFAULT_COUNT, PRICES

Say = Callable[[str], Any]
MOST_SYMBOLS = max(DEFAULT_COUNT, len(PRICES))


class CannotStart(Exception):
    """Raised when the exchange cannot start with these options; the text says why."""


def whole(low: int, high: int) -> Callable[[str], int]:
    """An argparse type: a whole number within [low, high]."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return parse


def amount(low: Decimal, high: Decimal) -> Callable[[str], Decimal]:
    """An argparse type: a number within [low, high]."""

    def parse(text: str) -> Decimal:
        try:
            value = Decimal(text)
        except InvalidOperation as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
        if not value.is_finite() or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return parse


def shift(text: str) -> int | str:
    """An argparse type: `auto` or a whole number of days."""
    return text if text == "auto" else whole(-100_000, 100_000)(text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the exchange's options to a parser."""
    default = Options()
    parser.add_argument("--host", default=default.host, help="address to listen on")
    parser.add_argument("--port", type=whole(0, 65_535), default=0, help="0 takes a free one")
    parser.add_argument("--data", type=Path, help="file of the books; without it they are in memory")
    parser.add_argument("--seed", type=whole(0, 2**63), default=1, help="of the synthetic market")
    parser.add_argument("--candles", type=Path, help="folder with SYMBOL-INTERVAL.csv[.gz] to replay")
    parser.add_argument("--clock", choices=("wall", "stepped"), default="wall")
    parser.add_argument(
        "--shift-days",
        type=shift,
        help="days by which files are moved; auto: until they end in the future "
        "(the default, but 0 with a stepped clock)",
    )
    parser.add_argument("--symbols", type=whole(1, MOST_SYMBOLS), default=DEFAULT_COUNT)
    parser.add_argument("--weight-limit", type=whole(1, 10**9), default=default.weight_limit)
    parser.add_argument(
        "--order-limit",
        type=whole(1, 10**9),
        default=default.orders_per_ten_seconds,
        help="unfilled orders per account and 10 s",
    )
    parser.add_argument("--fee", type=amount(Decimal(0), Decimal("0.1")), default=default.fee)
    parser.add_argument("--balance", type=amount(Decimal(0), Decimal(10**12)), default=default.balance)
    parser.add_argument("--spread-bps", type=amount(Decimal(0), Decimal(1000)), default=default.spread_bps)
    parser.add_argument(
        "--level-quote",
        type=amount(Decimal(1), Decimal(10**12)),
        default=default.level_quote,
        help="quote units on the best level of the book",
    )
    parser.add_argument(
        "--futures-balance",
        type=amount(Decimal(0), Decimal(10**12)),
        default=default.futures_balance,
        help="USDT in the futures wallet of an account that opens by itself",
    )
    parser.add_argument("--futures-weight-limit", type=whole(1, 10**9), default=default.futures_weight_limit)
    parser.add_argument(
        "--futures-order-limit", type=whole(1, 10**9), default=default.futures_orders_per_ten_seconds
    )
    parser.add_argument("--live", action="store_true", help="follow the public market data of --live-url")
    parser.add_argument("--live-url", default=default.live_url, help="spot REST base of the source")
    parser.add_argument("--live-futures-url", default=default.live_futures_url)
    parser.add_argument(
        "--faults",
        action="append",
        metavar="FILE_OR_NAME",
        help="switch on the faults of a JSON file, or of a named scenario; may be given several times",
    )
    parser.add_argument(
        "--list-faults", action="store_true", help="print the scenarios and every kind of fault, and end"
    )
    parser.add_argument(
        "--live-poll", type=whole(1, 5), default=int(default.live_poll_seconds), help="seconds between prices"
    )


def options_from(values: dict[str, Any]) -> Options:
    """Options from parsed arguments."""
    days = values["shift_days"]
    if days is None:
        days = 0 if values["clock"] == "stepped" else "auto"
    return Options(
        host=values["host"],
        port=values["port"],
        data=values["data"],
        seed=values["seed"],
        candles=values["candles"],
        clock=values["clock"],
        shift_days=None if days == "auto" else days,
        symbols=values["symbols"],
        weight_limit=values["weight_limit"],
        orders_per_ten_seconds=values["order_limit"],
        fee=values["fee"],
        balance=values["balance"],
        spread_bps=values["spread_bps"],
        level_quote=values["level_quote"],
        futures_balance=values["futures_balance"],
        live=values["live"],
        live_url=values["live_url"],
        live_futures_url=values["live_futures_url"],
        live_poll_seconds=float(values["live_poll"]),
        futures_weight_limit=values["futures_weight_limit"],
        futures_orders_per_ten_seconds=values["futures_order_limit"],
        faults=_faults(values.get("faults") or []),
    )


def _faults(wanted: list[str]) -> tuple[dict[str, Any], ...]:
    """The faults of scenarios and files. Raises CannotStart for what is neither."""
    try:
        return tuple(fault for one in wanted for fault in read_faults(one))
    except FaultRefused as error:
        raise CannotStart(str(error)) from error


def list_faults() -> str:
    """What --list-faults prints, for people."""
    lines = ["Scenarios (--faults NAME):"]
    lines += [f"  {name:<18} {text}" for name, text in scenario_texts().items()]
    lines += ["", "Kinds of faults (for a file and for POST /paper/faults), with their options:"]
    for row in described():
        options = ", ".join([*row["needs"], *(f"[{one}]" for one in row["takes"])])
        lines += [f"  {row['kind']:<18} {row['does']}" + (f"  ({options})" if options else "")]
    lines += ["", f"Reasons of reject: {', '.join(sorted(REASONS))}"]
    return "\n".join(lines)


def run(options: Options, say: Say) -> None:
    """Serve until SIGINT or SIGTERM; `say` gets one JSON line with the url when ready. Raises CannotStart."""
    try:
        exchange = build(options, _listing(options))
    except (BooksRefused, CandlesRefused, LiveRefused) as error:
        raise CannotStart(str(error)) from error
    try:
        for fault in options.faults:
            exchange.faults.add(fault)
    except FaultRefused as error:
        raise CannotStart(str(error)) from error
    try:
        asyncio.run(_serve(make_app(exchange), options, say))
    except OSError as error:
        raise CannotStart(f"cannot listen on {options.host}:{options.port}: {error}") from error


def _listing(options: Options) -> Listing | None:
    if not options.live:
        return None
    if options.clock == "stepped" or options.candles is not None:
        raise CannotStart("--live follows the present: it takes no --candles and no stepped clock")
    return asyncio.run(load_listing(options.live_urls))


class Door:
    """The listening socket, which can be shut and opened again at the same address."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self._runner, self._host, self._port = runner, host, port
        self._site: web.TCPSite | None = None

    async def open(self) -> None:
        """Listen."""
        self._site = web.TCPSite(self._runner, self._host, self._port, backlog=1024)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def shut(self) -> None:
        """Listen no longer, and end the connections that there are."""
        if self._site is not None:
            await self._site.stop()
        server = self._runner.server
        for handler in [] if server is None else list(server.connections):
            if handler.transport is not None:
                handler.transport.abort()


async def _serve(app: web.Application, options: Options, say: Say) -> None:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    try:
        door = Door(runner, options.host, options.port)
        await door.open()
        app[EXCHANGE].listener.attach(door.shut, door.open)
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stopped.set)
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        say(json.dumps({"url": f"http://{shown}:{port}"}))
        await stopped.wait()
    finally:
        await runner.cleanup()
