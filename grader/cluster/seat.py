"""The seat of this task among the agents of its job."""

from grader.harness.agents.allocation import Seat
from slurm.task import current_task


def own_seat() -> Seat:
    """Return which task of its job this process is, as agents are told."""
    task = current_task()
    return Seat(task=task.rank, num_tasks=task.num_tasks, run=task.run, node=task.node, first_node=task.first_node)
