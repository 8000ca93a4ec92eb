"""Whether and where to change: policies, and the rules that they share."""
