"""One run, from a checked configuration to its summary."""
