"""The task that this process is, of a job that an executor has started."""

import os
import socket
from dataclasses import dataclass

import submitit


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One of the processes that a job makes its call in.

    rank: from 0
    node: the name of its machine
    run: how often the job was requeued before
    first_node: an address or the name of the machine where the job began, by which all its machines reach each other
    """

    rank: int
    num_tasks: int
    node: str
    run: int
    first_node: str


def current_task() -> Task:
    """Return this task; outside a job it is the only one."""
    try:
        environment = submitit.JobEnvironment()
    except RuntimeError:
        return Task(rank=0, num_tasks=1, node=socket.gethostname(), run=0, first_node="127.0.0.1")
    address = os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "")
    if not address or ":" in address:  # not every Slurm says it, and gloo is told an interface by its IPv4 address
        address = environment.hostnames[0] if "SLURM_JOB_NODELIST" in os.environ else "127.0.0.1"
    return Task(
        rank=environment.global_rank,
        num_tasks=environment.num_tasks,
        node=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        run=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        first_node=address,
    )
