"""A day's worth of decisions in one process: does anything grow that should not?"""
