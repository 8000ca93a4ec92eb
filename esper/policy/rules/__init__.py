"""Rules that the policies share."""
