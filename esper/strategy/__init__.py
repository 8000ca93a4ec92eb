"""Which seed, and so which blueprint: ledger, viability and bandit strategies."""
