"""Launches whose ranks are spread over the tasks of an allocation: an agent in each task, a team of them as launcher."""
