"""Who trades, with what, and when: the top of the layers."""
