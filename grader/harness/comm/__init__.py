"""What the ranks of a launch communicated: its log, its cost, what does not fit together, and who waits for whom."""
