"""The shell: the command line, Hydra, sweeps and resuming."""
