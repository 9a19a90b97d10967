"""The questions that only futures have: positions, leverage, margin, funding. A part of ExchangeClient."""

from __future__ import annotations

from typing import Any


class FuturesQuestions:
    """USDS-M futures endpoints (developers.binance.com, usds-margined-futures; read 2026-05-28).

    Each raises what every question of ExchangeClient raises. The setters say what should be, so that asking
    twice changes nothing more; they are retried like questions. On a spot source they raise KeyError.
    """

    def _ask(self, question: str, shape: type, **params: Any) -> Any:
        raise NotImplementedError

    def position_risk(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """Positions, of one symbol or all; those that are flat and without orders may be left out."""
        answer: list[dict[str, Any]] = self._ask("position_risk", list, symbol=symbol)
        return answer

    def symbol_config(self, symbol: str) -> list[dict[str, Any]]:
        """Leverage and margin type (ISOLATED, CROSSED) that the account has for the symbol."""
        answer: list[dict[str, Any]] = self._ask("symbol_config", list, symbol=symbol)
        return answer

    def position_mode(self) -> bool:
        """Whether the account holds long and short apart (hedge mode). Costs a weight of 30."""
        answer = self._ask("position_mode", dict)
        return answer.get("dualSidePosition") is True

    def set_position_mode(self, *, hedge: bool) -> None:
        """Switch hedge mode, for all symbols of the account. Rejected: -4059 already so, -4067, -4068."""
        self._ask("set_position_mode", dict, dualSidePosition="true" if hedge else "false")

    def set_leverage(self, symbol: str, leverage: int) -> dict[str, Any]:
        """Set the leverage, 1 to 125; Rejected (-4028) beyond what the symbol allows."""
        answer: dict[str, Any] = self._ask("set_leverage", dict, symbol=symbol, leverage=leverage)
        return answer

    def set_margin_type(self, symbol: str, margin_type: str) -> None:
        """Set ISOLATED or CROSSED. Rejected: -4046 already so, -4047 open orders, -4048 a position."""
        self._ask("set_margin_type", dict, symbol=symbol, marginType=margin_type)

    def leverage_brackets(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """Tiers of notional with their highest leverage and maintenance margin rate, by symbol."""
        answer = self._ask("leverage_brackets", object, symbol=symbol)
        return answer if isinstance(answer, list) else [answer]  # one symbol may come without the list

    def income(
        self,
        *,
        income_type: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Payments of the account (FUNDING_FEE, INSURANCE_CLEAR ...), oldest first, three months back."""
        answer: list[dict[str, Any]] = self._ask(
            "income", list, incomeType=income_type, startTime=start_ms, endTime=end_ms, limit=limit
        )
        return answer
