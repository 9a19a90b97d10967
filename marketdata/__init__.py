"""What the market says: symbols, candles, prices. Knows nothing of bots and orders."""
