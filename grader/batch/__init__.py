"""Grading submissions: one is a tuple of steps, many are a queue over workers."""
