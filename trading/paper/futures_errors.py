"""What futures refuse and how they say it (USDS-M documentation, "Error Codes")."""

from __future__ import annotations

from decimal import Decimal

from trading.paper.errors import ApiError

TEXTS = {
    -1111: "Precision is over the maximum defined for this asset.",
    -1116: "Invalid orderType.",
    -1125: "This listenKey does not exist. Please use `POST /fapi/v1/listenKey` to recreate `listenKey`",
    -1136: "Invalid newOrderRespType.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2019: "Margin is insufficient.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2025: "Reach max open order limit.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -4002: "Price greater than max price.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4006: "Stop price less than zero.",
    -4013: "Price less than min price.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id length should not be more than 36 chars",
    -4023: "Qty not increased by step size.",
    -4045: "Reach max stop order limit.",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4059: "No need to change position side.",
    -4060: "Invalid position side.",
    -4061: "Order's position side does not match user's setting.",
    -4062: "Invalid or improper reduceOnly value.",
    -4067: "Position side cannot be changed if there exists open orders.",
    -4068: "Position side cannot be changed if there exists position.",
    -4082: "Invalid number of batch place orders.",
    -4116: "ClientOrderId is duplicated.",
    -4118: "ReduceOnly Order Failed. Please check your existing position and open orders",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    -4130: "An open stop or take profit order with GTE and closePosition in the direction is existing.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit",
    -4136: "Target strategy invalid for orderType '{}',closePosition 'true'.",
    -4137: "Quantity must be zero with closePosition equals true",
    -4140: "Invalid symbol status for opening position",
    -4141: "Symbol is closed",
    -4161: "Leverage reduction is not supported in Isolated Margin Mode with open positions",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected.",
}


def refused(code: int, *values: object) -> ApiError:
    """The error of a code whose text is always the same but for `values`."""
    return ApiError(code, TEXTS[code].format(*values))


def notional_too_small(least: Decimal) -> ApiError:
    """-4164."""
    return ApiError(
        -4164, f"Order's notional must be no smaller than {least:f} (unless you choose reduce only)"
    )


def price_too_far(code: int, limit: Decimal) -> ApiError:
    """-4016 above what PERCENT_PRICE allows, -4024 below it."""
    word = "higher" if code == -4016 else "lower"
    return ApiError(code, f"Limit price can't be {word} than {limit:f}.")
