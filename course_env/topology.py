"""Where a rank stands in its job: the facts that `init_process_group` and the choice of a device need."""

from dataclasses import dataclass

from course_env.value_types import value_type


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class DistEnv:
    """One rank's place in its job, and the address at which all ranks meet.

    `rank` counts over the whole job, `local_rank` on this node only, `node_rank` counts nodes;
    rank 0 listens at `master_addr`:`master_port`.
    """

    rank: int
    local_rank: int
    world_size: int
    node_rank: int
    master_addr: str
    master_port: int
