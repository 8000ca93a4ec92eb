"""Run a model without changing its modes, the random generators or its tensors."""
