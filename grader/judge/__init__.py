"""The judge: pytest in the course's own tree. It holds baselines and verdicts, and never imports student code."""
