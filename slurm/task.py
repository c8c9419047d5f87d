"""The task of a job that this process is, if an executor started it."""

import os
import socket
from dataclasses import dataclass

import submitit


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One of the processes in which a job makes its call."""

    rank: int
    """From 0."""

    num_tasks: int
    """Of the job."""

    node: str
    """The name of its machine."""

    run: int
    """How often the job was requeued before."""

    first_node: str
    """An address or the name of the machine where the job began, by which all machines of the job reach each other."""


def current_task() -> Task:
    """Return this task; outside a job, the only task there is."""
    try:
        environment = submitit.JobEnvironment()
    except RuntimeError:
        return Task(rank=0, num_tasks=1, node=socket.gethostname(), run=0, first_node="127.0.0.1")
    address = os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "")
    if not address or ":" in address:  # not every Slurm sets it, and gloo needs an IPv4 address to find its interface
        address = environment.hostnames[0] if "SLURM_JOB_NODELIST" in os.environ else "127.0.0.1"
    return Task(
        rank=environment.global_rank,
        num_tasks=environment.num_tasks,
        node=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        run=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        first_node=address,
    )
