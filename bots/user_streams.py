"""The user streams of all accounts with bots: opened, kept, opened anew; what they say wakes the bots.

A stream that is lost costs only time: what happened meanwhile is found by the sweep and the minute's look.
The process needs the API keys, hence it is one of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import redis
from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connections
from django.db.models import Q

from bots import reconciling
from bots.actors import sweep_soon, wake_bot
from bots.models import BotConfig
from tradebot import beats
from tradebot.binance.sources import source_for
from tradebot.binance.streams import StreamLost, user_stream
from tradebot.clock import to_ms
from tradebot.errors import TradebotError
from tradebot.redis import redis_client
from trading import user_events
from trading.accounts import client_for, read_key
from trading.models import ExchangeAccount, Order
from trading.sweep import mark_doubtful

logger = logging.getLogger(__name__)

BEAT_KEY = beats.USER_STREAMS_KEY
STATE_KEY = "user-streams"  # a hash: account:market, what of its stream is known
BEAT_SECONDS = 60
POLL_SECONDS = 5.0  # accounts come and go
CONNECT_GAP_SECONDS = 1.1  # Binance takes 300 connections in five minutes from an address
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
HEALTHY_SECONDS = 60.0  # a stream that lived so long waits the first time again
THREADS = 8
Key = tuple[int, str]
Value = TypeVar("Value")


@dataclass(slots=True)
class StreamState:
    """What is known of one stream; times in milliseconds since the epoch."""

    connected: bool = False
    connects: int = 0
    connected_at: int | None = None
    last_event_at: int | None = None
    events: int = 0
    error: str = ""


@dataclass(slots=True)
class UserStreams:
    """All streams of this process. Times are arguments so that tests need not wait."""

    now: Callable[[], datetime]
    poll_seconds: float = POLL_SECONDS
    connect_gap_seconds: float = CONNECT_GAP_SECONDS
    first_wait_seconds: float = FIRST_WAIT_SECONDS
    states: dict[Key, StreamState] = field(default_factory=dict)
    _tasks: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    _ending: set[asyncio.Task[None]] = field(default_factory=set)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "user-streams"))
    _gate: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a stream for each account that needs one, until `stop` is set."""
        try:
            while not stop.is_set():
                await self._look_around()
                try:
                    await asyncio.wait_for(stop.wait(), self.poll_seconds)
                except TimeoutError:
                    continue
        finally:
            tasks = [*self._tasks.values(), *self._ending]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pool.shutdown(wait=True)

    async def _look_around(self) -> None:
        """Open streams of accounts that came, end those of accounts that went, and beat."""
        try:
            wanted = await self._do(accounts_with_bots)
        except DatabaseFailure:
            logger.warning("The database does not answer; the streams stay as they are.")
            return
        for key in self._tasks.keys() - wanted:
            ending = self._tasks.pop(key)
            ending.cancel()
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            self.states.pop(key, None)
        for key in sorted(wanted - self._tasks.keys()):
            self.states[key] = StreamState()
            self._tasks[key] = asyncio.create_task(self._keep(key))
        try:
            await self._do(_publish, dict(self.states), to_ms(self.now()))
        except redis.RedisError:
            logger.warning("Redis does not answer; the beat of the user streams is lost.")

    async def _keep(self, key: Key) -> None:
        """One account's stream, opened again and again with growing waits."""
        wait, state = self.first_wait_seconds, self.states[key]
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._listen(key, state)
            except (TradebotError, DatabaseFailure, redis.RedisError, ExchangeAccount.DoesNotExist) as error:
                state.error = str(error) if isinstance(error, TradebotError) else type(error).__name__
                logger.warning("user stream of account %s, %s: %s", *key, state.error)
            finally:
                state.connected = False
            if loop.time() - began >= HEALTHY_SECONDS:
                wait = self.first_wait_seconds
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    async def _listen(self, key: Key, state: StreamState) -> None:
        source, api_key, api_secret, now_ms = await self._do(_access, key)
        async with self._gate:
            await asyncio.sleep(self.connect_gap_seconds)
        async with user_stream(source, api_key, api_secret, now_ms) as events:
            state.connects += 1
            state.connected, state.connected_at, state.error = True, to_ms(self.now()), ""
            await self._do(_connected, key, state.connects, self.now())
            async for event in events:
                state.last_event_at = to_ms(self.now())
                state.events += 1
                await self._do(hear, key, event, self.now())
        raise StreamLost("The stream ended.")

    async def _do(self, work: Callable[..., Value], *arguments: Any) -> Value:
        """Database and Redis, beside the loop; with a usable connection."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _clean, work, arguments)


def _clean(work: Callable[..., Value], arguments: tuple[Any, ...]) -> Value:
    close_old_connections()
    try:
        return work(*arguments)
    finally:
        connections.close_all()  # threads of the pool come and go with the process


def accounts_with_bots() -> set[Key]:
    """The accounts and markets that need a stream: a bot may trade there, or holds something."""
    rows = BotConfig.objects.filter(
        Q(is_active=True, deleted_at__isnull=True) | Q(state__in_position=True) | Q(claim__isnull=False)
    )
    rows = rows.filter(account__secret__isnull=False)
    return set(rows.order_by().values_list("account_id", "market").distinct())


def hear(key: Key, event: dict[str, Any], now: datetime) -> None:
    """What one event leads to: an entry in the inbox of the order's bot, or a sweep of the account."""
    account_id, market = key
    heard = user_events.read(market, event)
    if heard.kind == "nothing":
        return
    bot_id = _bot_of(account_id, market, heard) if heard.kind == "order" else None
    if bot_id is not None:
        for wake in reconciling.leave({bot_id: heard.source_id}, now):
            wake_bot(wake.bot_id, wake.inbox_id)
        return
    why = heard.text or f"an order of {heard.symbol} that is not in the journal"
    mark_doubtful(account_id, market, why, now)
    sweep_soon(account_id, market)


def _bot_of(account_id: int, market: str, heard: user_events.Heard) -> int | None:
    orders = Order.objects.filter(account_id=account_id, market=market, symbol=heard.symbol)
    known = Q(client_order_id__in=heard.names) | Q(request__client_id__in=heard.names)
    if heard.number is not None:
        known |= Q(actual_order_id=heard.number)
    for order in orders.filter(known).order_by("-pk"):
        if heard.number is None or heard.number in (order.exchange_order_id, order.actual_order_id):
            return order.bot_id
        if order.exchange_order_id is None or order.request.kind != "order":
            return order.bot_id  # its number is not booked yet
    return None  # not ours, or a second order of a known client id


def _access(key: Key) -> tuple[Any, Any, Any, int]:
    """What a stream needs: source, key, secret, the exchange's clock. Raises the errors of client_for."""
    account = ExchangeAccount.objects.get(pk=key[0])
    client = client_for(account, key[1])  # refuses what may not trade
    api_key, api_secret = read_key(account)
    return source_for(account.environment, key[1]), api_key, api_secret, client.now_ms()


def _connected(key: Key, connects: int, now: datetime) -> None:
    """From here on everything is heard; what happened before is the sweep's."""
    mark_doubtful(*key, "the user stream was opened", now)
    if connects > 1:
        sweep_soon(*key)


def _publish(states: dict[Key, StreamState], now_ms: int) -> None:
    """Write the state of all streams for health and metrics."""
    client = redis_client()
    pipeline = client.pipeline()
    pipeline.delete(STATE_KEY)
    if states:
        rows = {f"{account}:{market}": json.dumps(asdict(one)) for (account, market), one in states.items()}
        pipeline.hset(STATE_KEY, mapping=rows)  # type: ignore[arg-type]
    pipeline.set(BEAT_KEY, str(now_ms), ex=BEAT_SECONDS)
    pipeline.execute()


def published() -> dict[Key, StreamState] | None:
    """The states as last written; None when no process has beaten within a minute. Raises RedisError."""
    client = redis_client()
    if not client.exists(BEAT_KEY):
        return None
    found = {}
    for name, text in client.hgetall(STATE_KEY).items():
        account, _, market = str(name, "ascii").partition(":")  # type: ignore[arg-type]
        found[int(account), market] = StreamState(**json.loads(text))
    return found
