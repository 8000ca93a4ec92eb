"""Faults put into real runs at seeded random moments, and what must hold after each."""
