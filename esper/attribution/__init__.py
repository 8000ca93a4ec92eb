"""Measure the contribution of each seed, against a twin or by ablation."""
