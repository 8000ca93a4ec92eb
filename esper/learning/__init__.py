"""What learned policies learn with: models of gains, and how they are fitted."""
