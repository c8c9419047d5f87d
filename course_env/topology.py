"""What `init_process_group` and the choice of a device need to know of a rank and its job."""

from dataclasses import dataclass

from course_env.value_types import value_type


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class DistEnv:
    """Which of a job's ranks a process is, and the address at which all ranks meet."""

    rank: int
    """Counted over the whole job."""

    local_rank: int
    """Counted on this node only."""

    world_size: int
    """The number of ranks of the job."""

    node_rank: int
    """Which of the nodes of the job this is, from 0 on."""

    master_addr: str
    """The host on which rank 0 listens."""

    master_port: int
    """The port on which rank 0 listens."""
