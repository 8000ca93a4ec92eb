"""What a policy sees: epochs and seeds turned into observations and into numbers for learners."""
