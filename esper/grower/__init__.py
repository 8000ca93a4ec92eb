"""The control step: what happens between two epochs of training."""
