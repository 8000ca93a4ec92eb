"""Slots, seeds and kernels: everything that changes a network while it trains."""
