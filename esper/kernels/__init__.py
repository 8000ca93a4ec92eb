"""From a blueprint to a kernel that is ready to train."""
