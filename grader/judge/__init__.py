"""The judge: pytest in the course's own tree. Holds baselines and verdicts, and never imports student code."""
