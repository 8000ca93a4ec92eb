"""Benchmarks: the figures that Esper promises, each measured together with its reference."""
