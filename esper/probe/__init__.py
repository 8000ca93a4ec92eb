"""Run a model without leaving a trace in it."""
