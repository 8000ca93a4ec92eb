"""The figures that Esper promises, each measured beside its reference."""
