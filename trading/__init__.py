"""How to decide and how to trade. Knows no schedule."""
