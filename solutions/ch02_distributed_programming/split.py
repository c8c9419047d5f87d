"""Cut one process group into several: how the data, tensor and pipeline groups of a training job are made.

Every rank says which group it wants to be in (`color`) and where in it (`key`). In a 2 x 2 layout, for example, the
rows are the split with color = rank // 2, the columns the split with color = rank % 2.

`dist.new_group` has three rules that this exercise is about. Every rank of the job must call it, also those that do not
become members; all ranks must create the same groups in the same order; and it sorts its ranks unless it is told
`sort_ranks=False`.
"""

import torch.distributed as dist
from torch.distributed import ProcessGroup


def split_by_color(color: int, key: int, group: ProcessGroup | None = None) -> ProcessGroup | None:
    """Return the new group of all ranks of `group` with this rank's color, or None if the color is -1.

    Every rank of the job calls this at the same time, each with the group that it is itself in (`group=None`: the group
    of all ranks). Several disjoint groups can thus be split by one call: ranks come together only if they passed the
    same group and the same color. A rank with color -1 joins nothing, whatever it passes as key and group, so a rank that is
    in none of the groups passes -1 and None.

    In the new group the ranks are ordered by key, and ranks with equal keys as they were ordered in `group`: the first
    becomes group rank 0. Colors are -1 or larger; keys are any integers, and neither need be consecutive. The groups of
    one call, and of earlier and later calls, can be used side by side.

    Communicates: to agree on the members, any collectives you like among all ranks; then one `dist.new_group` per new
        group, called by every rank of the job in the same order, members or not; so without
        `use_local_synchronization=True`. No other group is made.
    Source: MPI Forum 2021, MPI: A Message-Passing Interface Standard, version 4.0, section 7.4.2 (MPI_Comm_split)
    """
    ### BEGIN SOLUTION
    parent = tuple(dist.get_process_group_ranks(group)) if color >= 0 else ()
    wishes = [None] * dist.get_world_size()
    dist.all_gather_object(wishes, (parent, color, key))
    mine = None
    # Sorted, so that every rank creates the same groups in the same order, its own or not.
    for siblings, wanted in sorted({wish[:2] for wish in wishes if wish[1] >= 0}):
        members = [rank for rank in siblings if wishes[rank][1] == wanted]
        members.sort(key=lambda rank: wishes[rank][2])  # stable: equal keys keep the parent group's order
        new_group = dist.new_group(members, sort_ranks=False)
        if dist.get_rank() in members:
            mine = new_group
    return mine
    ### END SOLUTION
