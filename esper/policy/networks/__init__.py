"""The networks of learned policies."""
