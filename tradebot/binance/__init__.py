"""The only package that imports python-binance: client, clock, error table, request budget."""
