"""Whether and where to change: policies, the verdict they share, and the review of their wishes."""
