"""Strategies: pure functions from closed candles to a Signal."""
