"""Was it the seed? What the network would be without it."""
