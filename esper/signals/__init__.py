"""What a policy sees: observations of a run, and features for learned policies."""
