"""Data sets in memory, and their batches."""
