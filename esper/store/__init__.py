"""Where the ledger lives between runs."""
