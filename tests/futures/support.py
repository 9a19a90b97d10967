"""Short cuts of the futures tests."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from bots.models import BotConfig
from tests.support.desk import SIGNAL, Desk
from trading.models import AccountState, Fill

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
ORDER = "/fapi/v1/order"


def enter(desk: Desk, side: str = "long", **values: object) -> BotConfig:
    """A bot with leverage 4 and 1,000 USDT that has just entered at the signal."""
    bot = desk.add_bot(**{"position_type": side, "leverage": 4} | values)
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    return bot


def wallet() -> Decimal:
    """The wallet balance in the journal."""
    return AccountState.objects.get(market="futures", asset="USDT").free


def gross_and_fees() -> tuple[Decimal, Decimal]:
    """What all fills of the journal gained before fees, and their fees; for a flat account."""
    gross = fees = Decimal(0)
    for fill in Fill.objects.all():
        worth = fill.quantity * fill.price
        gross += -worth if fill.side == "BUY" else worth
        fees += fill.commission
    return gross, fees
