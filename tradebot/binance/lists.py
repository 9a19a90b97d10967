"""Orders that are not one simple order: order lists (spot) and conditional orders (futures "algo" orders).

A part of ExchangeClient.
"""

from __future__ import annotations

from typing import Any

from tradebot.errors import OrderNotFound, Rejected

NO_SUCH_LIST = -2018  # spot, of an order list; for an order POST the same number means "no balance"


class ListQuestions:
    """Each raises what every question of ExchangeClient raises; on the other market's source KeyError."""

    def _ask(self, question: str, shape: type, **params: Any) -> Any:
        raise NotImplementedError

    def order_list(self, client_id: str) -> dict[str, Any]:
        """A spot order list by its own client id: the ids of its legs, not what became of them.

        Raises OrderNotFound (-2018) when the exchange does not know it.
        """
        try:
            answer: dict[str, Any] = self._ask("order_list", dict, origClientOrderId=client_id)
        except Rejected as error:
            if error.code != NO_SUCH_LIST:
                raise
            raise OrderNotFound(str(error), code=error.code, http_status=error.http_status) from None
        return answer

    def cancel_order_list(self, symbol: str, client_id: str) -> dict[str, Any]:
        """Cancel what is open of a spot order list. OrderNotFound (-2011): nothing of it is open."""
        answer: dict[str, Any] = self._ask(
            "cancel_order_list", dict, symbol=symbol, listClientOrderId=client_id
        )
        return answer

    def algo_order(self, client_id: str) -> dict[str, Any]:
        """A conditional order by its client id; `actualOrderId` is the order that it became, if any.

        Raises OrderNotFound (-2013), which may be a lag.
        """
        answer: dict[str, Any] = self._ask("algo_order", dict, clientAlgoId=client_id)
        return answer

    def cancel_algo_order(self, client_id: str) -> dict[str, Any]:
        """Cancel a conditional order that has not triggered. OrderNotFound (-2011): it is not open."""
        answer: dict[str, Any] = self._ask("cancel_algo_order", dict, clientAlgoId=client_id)
        return answer

    def open_algo_orders(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """The conditional orders that are open, of one symbol or all (40 times the weight)."""
        answer: list[dict[str, Any]] = self._ask("open_algo_orders", list, symbol=symbol)
        return answer

    def order_by_id(self, symbol: str, order_id: int) -> dict[str, Any]:
        """One order by the exchange's number. OrderNotFound on -2013."""
        answer: dict[str, Any] = self._ask("order", dict, symbol=symbol, orderId=order_id)
        return answer
