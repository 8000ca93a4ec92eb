"""Hosts that grow as a whole against fixed sizes, where neither size nor budget is known."""
