"""Faults that refuse: limits, keys, and every rejection of an order by name, as either market words it."""

from __future__ import annotations

from aiohttp import web

from trading.paper.errors import CLOSED, DUPLICATE, INSUFFICIENT
from trading.paper.fault_model import AFTER, BEFORE, ENGINE, Answer, Fault, FaultRefused, Kind
from trading.paper.fault_network import error_body, fixed
from trading.paper.futures_errors import TEXTS

Refusal = tuple[int, str]  # code and text
_TOO_MUCH = error_body(-1003, "Too many requests queued.")
_KEY = (-2015, "Invalid API-key, IP, or permissions for action.")


def _filters(*names: str) -> dict[str, tuple[Refusal | None, Refusal | None]]:
    return {name: ((-1013, f"Filter failure: {name}"), None) for name in names}


def _f(code: int, text: str = "") -> Refusal:
    return code, text or TEXTS[code]


# reason -> how spot says it, how futures say it; None: that market has no such refusal
REASONS: dict[str, tuple[Refusal | None, Refusal | None]] = {
    **_filters(
        "PERCENT_PRICE_BY_SIDE",
        "ICEBERG_PARTS",
        "MARKET_LOT_SIZE",
        "MAX_NUM_ALGO_ORDERS",
        "MAX_NUM_ICEBERG_ORDERS",
        "MAX_NUM_ORDER_LISTS",
        "MAX_POSITION",
        "TRAILING_DELTA",
        "EXCHANGE_MAX_NUM_ORDERS",
        "EXCHANGE_MAX_NUM_ALGO_ORDERS",
        "MAX_ASSET",
    ),
    "PRICE_FILTER": ((-1013, "Filter failure: PRICE_FILTER"), _f(-4014)),
    "PERCENT_PRICE": (
        (-1013, "Filter failure: PERCENT_PRICE"),
        (-4131, TEXTS[-4131]),
    ),
    "LOT_SIZE": ((-1013, "Filter failure: LOT_SIZE"), _f(-4023)),
    "MIN_NOTIONAL": (
        (-1013, "Filter failure: MIN_NOTIONAL"),
        (-4164, "Order's notional must be no smaller than 100 (unless you choose reduce only)"),
    ),
    "NOTIONAL": ((-1013, "Filter failure: NOTIONAL"), None),
    "MAX_NUM_ORDERS": ((-1013, "Filter failure: MAX_NUM_ORDERS"), _f(-2025)),
    "PRECISION": ((-1111, "Parameter 'quantity' has too much precision."), _f(-1111)),
    "INSUFFICIENT_BALANCE": ((-2010, INSUFFICIENT), _f(-2019)),
    "MARKET_CLOSED": ((-2010, CLOSED), _f(-4140)),
    "WOULD_TRIGGER": ((-2010, "Order would trigger immediately."), _f(-2021)),
    "WOULD_MATCH": ((-2010, "Order would immediately match and take."), _f(-5022)),
    "BAD_PRICES": ((-2010, "The relationship of the prices for the orders is not correct."), None),
    "ACTION_DISABLED": (
        (-2010, "This action is disabled on this account."),
        (
            -4400,
            "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, "
            "please try again later.",
        ),
    ),
    "SYMBOL": ((-1121, "Invalid symbol."), (-1121, "Invalid symbol.")),
    "CLOCK": (
        (-1021, "Timestamp for this request is outside of the recvWindow."),
        (-1021, "Timestamp for this request is outside of the recvWindow."),
    ),
    "SIGNATURE": (
        (-1022, "Signature for this request is not valid."),
        (-1022, "Signature for this request is not valid."),
    ),
    "UNKNOWN_ORDER": ((-2011, "Unknown order sent."), _f(-2011)),
    "NO_SUCH_ORDER": ((-2013, "Order does not exist."), _f(-2013)),
    "ORDER_ARCHIVED": (
        (-2026, "Order was canceled or expired with no executed qty over 90 days ago and has been archived."),
        None,
    ),
    "REDUCE_ONLY": (None, _f(-2022)),
    "REDUCE_ONLY_CONFLICT": (None, _f(-4118)),
    "LEVERAGE_BRACKET": (None, _f(-2027)),
    "LEVERAGE_TOO_HIGH": (None, (-4028, "Leverage 125 is not valid")),
    "LEVERAGE_MARGIN": (None, (-2028, "Leverage is smaller than permitted: insufficient margin balance.")),
    "MARGIN_TYPE_SAME": (None, _f(-4046)),
    "MARGIN_TYPE_ORDERS": (None, _f(-4047)),
    "MARGIN_TYPE_POSITION": (None, _f(-4048)),
    "POSITION_MODE_SAME": (None, _f(-4059)),
    "POSITION_SIDE": (None, _f(-4061)),
    "POSITION_MODE_ORDERS": (None, _f(-4067)),
    "POSITION_MODE_POSITION": (None, _f(-4068)),
    "USE_ALGO_ENDPOINT": (None, _f(-4120)),
    "COOLING_OFF": (None, (-4192, "Trade forbidden due to Cooling-off Period.")),
    "FOK": (None, _f(-5021)),
}


def refusal_of(reason: str, path: str) -> Refusal:
    """Code and text of a reason on a path's market. Raises FaultRefused when that market has none."""
    spot, futures = REASONS[reason]
    found = futures if path.startswith("/fapi/") else spot
    if found is None:
        market = "futures" if path.startswith("/fapi/") else "spot"
        raise FaultRefused(f"{market} has no refusal for {reason}")
    return found


def check_reason(fault: Fault) -> None:
    """Raise FaultRefused for a reason that does not exist, or not where the fault strikes."""
    reason = fault.options["reason"]
    if reason not in REASONS:
        raise FaultRefused(f"reason must be one of {', '.join(sorted(REASONS))}")
    path, market = fault.selects.get("path"), fault.selects.get("market")
    if path is not None or market is not None:
        refusal_of(reason, path or ("/fapi/" if market == "futures" else "/"))


async def _reject(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    try:
        code, text = refusal_of(fault.options["reason"], request.path)
    except FaultRefused:  # a fault that selects no market strikes the one that has such a refusal
        return answer
    return web.Response(status=400, text=error_body(code, text), content_type="application/json")


async def _duplicate(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    code, text = (-4116, TEXTS[-4116]) if request.path.startswith("/fapi/") else (-2010, DUPLICATE)
    return web.Response(status=400, text=error_body(code, text), content_type="application/json")


REFUSALS: dict[str, Kind] = {
    "rate_limited": Kind(
        "429 with -1003, and with `retry_after` (a number or nonsense) that header",
        (BEFORE,),
        fixed(429, _TOO_MUCH),
        takes=("retry_after",),
    ),
    "banned": Kind(
        "418 with -1003, and with `retry_after` that header",
        (BEFORE,),
        fixed(418, error_body(-1003, "Way too much request weight used.")),
        takes=("retry_after",),
    ),
    "too_many_orders": Kind(
        "429 with -1015, and with `retry_after` that header",
        (BEFORE,),
        fixed(429, error_body(-1015, "Too many new orders; current limit is 100 orders per 10 SECOND.")),
        takes=("retry_after",),
    ),
    "waf": Kind(
        "403 with a page of HTML", (BEFORE,), fixed(403, "<html>403</html>", {"Content-Type": "text/html"})
    ),
    "key_refused": Kind(
        "401 with -2015: revoked, expired or from another address", (BEFORE,), fixed(401, error_body(*_KEY))
    ),
    "keys_locked": Kind(
        "401 with -2017", (BEFORE,), fixed(401, error_body(-2017, "API Keys are locked on this account."))
    ),
    "reject": Kind(
        "a rejection by its `reason`: the name of a filter, or one of the others below",
        (BEFORE, AFTER),
        _reject,
        needs=("reason",),
    ),
    "duplicate": Kind(
        "the order is placed, and the answer says that its id is a duplicate", (AFTER, BEFORE), _duplicate
    ),
    "stale_order": Kind(
        "GET of an order, list or conditional order says that it does not exist while it is younger than "
        "`seconds`; with `lists_too` open orders, all orders and trades lack it as well",
        (ENGINE,),
        needs=("seconds",),
        takes=("lists_too",),
        count=-1,
    ),
}
