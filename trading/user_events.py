"""What an event of a user stream is about: an order of ours, something that must be looked into, or nothing.

Spot: user-data-stream.md of binance-spot-api-docs. Futures: USDS-M "Event: Order Update" and its neighbours.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# Reasons of a futures account update that other events, or the funding actor, tell of
QUIET_REASONS = frozenset({"ORDER", "FUNDING_FEE"})


@dataclass(frozen=True, slots=True)
class Heard:
    """An event. `names` are client ids under which the order may be known; `source_id` tells events apart."""

    kind: Literal["order", "doubt", "nothing"]
    symbol: str = ""
    names: tuple[str, ...] = ()
    number: int | None = None
    source_id: str = ""
    text: str = ""


NOTHING = Heard("nothing")


def read(market: str, event: Mapping[str, Any]) -> Heard:
    """The event in the project's words. What is unknown or malformed is a doubt: better to ask."""
    try:
        return _spot(event) if market == "spot" else _futures(event)
    except (KeyError, TypeError, ValueError):
        return Heard("doubt", text=f"an event of the user stream can't be read: {str(event.get('e'))[:40]}")


def _spot(event: Mapping[str, Any]) -> Heard:
    name = event["e"]
    if name == "executionReport":
        names = tuple(str(event[field]) for field in ("c", "C") if event.get(field))
        source_id = f"{event['s']}:{event['i']}:{event['x']}:{event['t']}:{event['z']}"
        return Heard("order", event["s"], names, int(event["i"]), f"stream:{source_id}"[:80])
    if name == "balanceUpdate":  # a deposit, a withdrawal, a transfer
        return Heard("doubt", text=f"the balance of {str(event['a'])[:20]} changed without an order")
    if name in ("outboundAccountPosition", "listStatus"):  # follow the orders, which tell more
        return NOTHING
    return Heard("doubt", text=f"the user stream said {str(name)[:40]}")


def _futures(event: Mapping[str, Any]) -> Heard:
    name = event["e"]
    if name == "ORDER_TRADE_UPDATE":
        order = event["o"]
        source_id = f"{order['s']}:{order['i']}:{order['x']}:{order['X']}:{order['t']}:{order['z']}"
        return Heard("order", order["s"], (str(order["c"]),), int(order["i"]), f"stream:{source_id}"[:80])
    if name == "ALGO_UPDATE":
        order = event["o"]
        source_id = f"{order['s']}:algo:{order['aid']}:{order['X']}:{order.get('ai') or ''}"
        return Heard("order", order["s"], (str(order["caid"]),), None, f"stream:{source_id}"[:80])
    if name == "ACCOUNT_UPDATE":
        reason = str(event["a"]["m"])
        if reason in QUIET_REASONS:
            return NOTHING
        return Heard("doubt", text=f"the account changed: {reason[:40]}")
    if name in ("TRADE_LITE", "ACCOUNT_CONFIG_UPDATE", "STRATEGY_UPDATE", "GRID_UPDATE"):
        return NOTHING
    return Heard("doubt", text=f"the user stream said {str(name)[:40]}")
