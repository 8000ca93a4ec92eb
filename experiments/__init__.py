"""Evidence: each claim a module that measures it."""
