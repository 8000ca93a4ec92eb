"""Refuse unsafe changes of a network, and roll back harmful ones."""
