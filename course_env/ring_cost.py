"""What an operation costs one rank if it runs as a ring algorithm, in bytes that the rank sends.

S is the payload and N the size of the group:

    send                   S
    broadcast, reduce      S                  every rank passes the whole payload on once
    all_reduce             2 (N - 1) / N * S
    reduce_scatter         (N - 1) / N * S    S: the whole input
    all_gather             (N - 1) / N * S    S: the whole output
    all_to_all             (N - 1) / N * S    S: the whole input; each rank keeps its own part
    scatter                (N - 1) / N * S    at the root, 0 elsewhere; S: the root's whole input
    gather                 S / N              everywhere but at the root; S: the root's whole output
    recv, barrier          0

Nothing is sent in a group of one rank. Loads no torch.
"""

from fractions import Fraction


def share_sent(op: str, group_size: int, *, is_root: bool) -> Fraction:
    """Return the part of an operation's payload that one rank sends; 0 for operations without a payload.

    op: the operation's name in torch.distributed, without the form of its tensors: all_gather, not all_gather_single
    is_root: whether the rank is the operation's root, if it has one
    """
    if group_size == 1:
        return Fraction(0)
    nothing, whole, part = Fraction(0), Fraction(1), Fraction(1, group_size)
    shares = {
        "send": whole,
        "broadcast": whole,
        "reduce": whole,
        "all_reduce": 2 * (whole - part),
        "reduce_scatter": whole - part,
        "all_gather": whole - part,
        "all_to_all": whole - part,
        "scatter": whole - part if is_root else nothing,
        "gather": nothing if is_root else part,
    }
    return shares.get(op, nothing)
