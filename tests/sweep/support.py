"""Short cuts of the sweep's tests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bots.models import BotConfig
from tests.futures.support import AT_SIGNAL
from tests.support.desk import Desk
from tradebot import clock
from trading.accounts import read_key
from trading.models import AccountSweep, OutboxMessage
from trading.sweep import Swept, sweep_account

PATHS = {"spot": "/api/v3/order", "futures": "/fapi/v1/order"}


def key_of(desk: Desk) -> str:
    """The account's API key, for requests by hand."""
    return read_key(desk.account)[0].reveal()


def enter(desk: Desk, **values: Any) -> BotConfig:
    """A bot of 1,000 USDT that has entered at the signal, on an account that was swept once before."""
    leverage = {"leverage": 4} if desk.market == "futures" else {}
    bot = desk.add_bot(**leverage | values)
    desk.client.account()
    desk.wait(1)
    assert sweep(desk).is_clean
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    return bot


def sweep(desk: Desk, *, after: float = 1) -> Swept:
    """A sweep, some seconds later."""
    desk.wait(after)
    return sweep_account(desk.account, desk.market, desk.client, clock.now())


def sweep_twice(desk: Desk) -> Swept:
    """Two sweeps more than ten seconds apart: a difference counts when it is seen twice."""
    first = sweep(desk)
    assert not first.findings
    assert first.look_again_at is not None
    return sweep(desk, after=11)


def order_by_hand(desk: Desk, side: str, quantity: str, client_id: str = "by-hand-1", **extra: str) -> Any:
    """An order of the owner's, placed elsewhere a second later; the exchange's answer."""
    desk.wait(1)
    params = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
    answer = desk.paper.signed(
        "POST", PATHS[desk.market], key_of(desk), **params | {"newClientOrderId": client_id} | extra
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def limit_by_hand(desk: Desk, client_id: str, side: str = "BUY", price: str = "60") -> Any:
    """An order that rests on the exchange."""
    return order_by_hand(
        desk, side, "2", client_id, type="LIMIT", price=price, timeInForce="GTC", newOrderRespType="RESULT"
    )


def row_of(desk: Desk) -> AccountSweep:
    """What reconciling knows of the account."""
    return AccountSweep.objects.get(account=desk.account, market=desk.market)


def told() -> list[str]:
    """The reasons of all errors and pauses that the owner was told of."""
    rows = OutboxMessage.objects.filter(event__in=["error", "paused"]).order_by("id")
    return [row.payload["reason"] for row in rows]


def plain(value: Decimal) -> str:
    """A number as the exchange takes it."""
    return f"{value.normalize():f}"
