"""Which seed, and so which blueprint: ledger, viability, bandit strategies and stores."""
