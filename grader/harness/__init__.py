"""Launching student code on N ranks, and judging what comes back."""
