"""Where settled activations live between runs."""
