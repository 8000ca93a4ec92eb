"""Check that a day's worth of decisions in one process leaks nothing."""
