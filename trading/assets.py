"""The two assets of a symbol, also while its rules are not known. Pure."""

from __future__ import annotations

from marketdata.types import SymbolRules

QUOTE = "USDT"  # the project trades symbols quoted in USDT only


def assets_of(symbol: str, rules: SymbolRules | None) -> tuple[str, str]:
    """Base and quote: by the symbol's rules, else by its name, which ends with the quote."""
    return (rules.base, rules.quote) if rules is not None else (symbol.removesuffix(QUOTE), QUOTE)
