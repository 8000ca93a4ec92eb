"""A table of all options, with a command in which each one changes what a run does."""
