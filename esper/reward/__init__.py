"""Rewards: how good the settled outcome of an activation was."""
