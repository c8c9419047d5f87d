"""The parts of a launch: which ranks each part runs, and the bytes by which parts keep step.

When a rank ends, its peers see a broken connection. So the ranks of all parts leave together, and at the deadline all
of them are stopped before the first is ended.
"""

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The ranks of a launch that one zygote runs while other zygotes run the rest."""

    first_rank: int
    """The part runs `num_ranks` consecutive ranks, from this one on."""

    num_ranks: int
    first_local_rank: int
    """How many ranks of the launch other zygotes of the same machine run before this one."""

    local_world_size: int
    """Ranks of the launch on this machine."""

    host: str
    """With `port`: where rank 0 serves the store in which all ranks meet."""

    port: int


PART_IS_DONE = b"d"
"""From a supervisor: every rank of this part has returned and waits for the others."""

LEAVE = b"l"
"""To a supervisor: every rank of every part has returned."""

FREEZE_PART = b"f"
"""To a supervisor: stop the ranks where they are."""

PART_IS_FROZEN = b"z"
"""From a supervisor: the ranks are stopped."""

END_PART = b"e"
"""To a supervisor: end the ranks."""
