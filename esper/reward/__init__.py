"""Was it good: a settled outcome becomes a reward."""
