"""Parts of a launch: which ranks each runs, and the bytes by which parts keep step.

Ranks see the ends of others as broken connections. So the ranks of all parts leave together, and at the deadline all of
them are stopped before the first is ended.
"""

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Which ranks of a launch a zygote runs, when others run the rest.

    first_rank: of consecutive ones
    first_local_rank: how many ranks of the launch other zygotes of the same machine run before it
    local_world_size: ranks of the launch on this machine
    host, port: where rank 0 serves the store in which all ranks meet
    """

    first_rank: int
    num_ranks: int
    first_local_rank: int
    local_world_size: int
    host: str
    port: int


PART_IS_DONE = b"d"
"""Supervisor, to those who run other parts: every rank here has returned and waits for all others."""

LEAVE = b"l"
"""To a supervisor: every rank of every part has returned."""

FREEZE_PART = b"f"
"""To a supervisor: stop the ranks where they are."""

PART_IS_FROZEN = b"z"
"""From it: they are stopped."""

END_PART = b"e"
"""To a supervisor: end the ranks."""
