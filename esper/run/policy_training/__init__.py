"""Train the model of a learned policy on growth tasks, and on settled trials of runs."""
