"""Launches spread over the tasks of an allocation: an agent runs in each task, and a team of agents is the launcher."""
