"""Tables of trading: accounts and their money, the journal, and the state that a run locks."""

from trading.models.accounts import (
    AccountState,
    ExchangeAccount,
    ExchangeSecret,
    OwnerState,
    SymbolClaim,
    SymbolSetup,
)
from trading.models.audit import AuditEntry
from trading.models.journal import Adjustment, Fill, FundingPayment, Order, OrderRequest, Trade
from trading.models.kill import KillSwitch
from trading.models.limits import RiskLimits
from trading.models.outbox import OutboxMessage
from trading.models.state import BotState
from trading.models.sweep import AccountSweep, Orphan, TradeCursor
from trading.models.upkeep import BooksCheck, Deployment

__all__ = [
    "AccountState",
    "AccountSweep",
    "Adjustment",
    "AuditEntry",
    "BooksCheck",
    "BotState",
    "Deployment",
    "ExchangeAccount",
    "ExchangeSecret",
    "Fill",
    "FundingPayment",
    "KillSwitch",
    "Order",
    "OrderRequest",
    "Orphan",
    "OutboxMessage",
    "OwnerState",
    "RiskLimits",
    "SymbolClaim",
    "SymbolSetup",
    "Trade",
    "TradeCursor",
]
