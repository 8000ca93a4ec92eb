"""Train a network for an epoch: optimizer, schedule, steps."""
