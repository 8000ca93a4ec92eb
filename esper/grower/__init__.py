"""The control step between two epochs of training."""
