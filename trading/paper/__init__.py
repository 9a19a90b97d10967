"""The paper exchange: a Binance-compatible server on loopback. Imports nothing of the rest of TradeBot."""
