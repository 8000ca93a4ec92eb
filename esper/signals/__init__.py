"""Input of policies: observations of a run, and features for learned policies."""
