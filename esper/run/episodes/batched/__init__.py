"""Many dense growth episodes at once: training and evaluation as one tensor program."""
