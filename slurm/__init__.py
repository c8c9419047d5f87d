"""Dispatching work to a cluster through submitit."""
