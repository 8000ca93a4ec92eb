"""Policies, which decide whether and where to change the network, and their shared rules."""
