"""What general clients ask for besides spot and USDT-M futures when they start: there is none of it here."""

from __future__ import annotations

from typing import Any

from trading.paper.orders import ZERO, number
from trading.paper.routing import Call, Route


def nothing(call: Call) -> list[Any]:
    """GET sapi/v1/margin/allPairs and isolated/allPairs: no margin trading."""
    return []


def coin_futures(call: Call) -> dict[str, Any]:
    """GET /dapi/v1/exchangeInfo: no COIN-M contracts."""
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [],
    }


def coins(call: Call) -> list[dict[str, Any]]:
    """GET /sapi/v1/capital/config/getall: the assets, without networks to withdraw them over."""
    held = call.account.balances
    return [
        {
            "coin": name,
            "name": name,
            "free": number(held[name].free if name in held else ZERO),
            "locked": number(held[name].locked if name in held else ZERO),
            "depositAllEnable": False,
            "withdrawAllEnable": False,
            "trading": True,
            "isLegalMoney": False,
            "networkList": [],
        }
        for name in call.exchange.assets()
    ]


def system_status(call: Call) -> dict[str, Any]:
    """GET /sapi/v1/system/status."""
    is_down = bool(call.exchange.conditions.maintenance)
    return {"status": int(is_down), "msg": "system_maintenance" if is_down else "normal"}


ROUTES = (
    Route("GET", "/sapi/v1/system/status", system_status, 1),
    Route("GET", "/sapi/v1/capital/config/getall", coins, 10, signed=True),
    Route("GET", "/sapi/v1/margin/allPairs", nothing, 1, signed=True),
    Route("GET", "/sapi/v1/margin/isolated/allPairs", nothing, 10, signed=True),
    Route("GET", "/dapi/v1/exchangeInfo", coin_futures, 1),
)
