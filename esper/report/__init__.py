"""Read run directories and show them: figures, one HTML page, terminal tables, sweep tables."""
