"""Sinks of the typed events of a run."""
