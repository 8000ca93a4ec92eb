"""Short growth runs of a randomised family, on which policies are trained and compared."""
