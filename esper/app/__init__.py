"""The shell around a run: Hydra, sweeps, resuming, completion and the doctor."""
