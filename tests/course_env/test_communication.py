"""Communication programs are plain values: they compare, and they travel."""

from course_env.communication import Coll, Deadlock, IRecv, ISend, Recv, Send, Wait
from course_env.topology import DistEnv
from grader.harness.protocol.codec import decode, encode

EVERY_KIND = [
    Send(dst=1),
    Recv(src=2, tag=3),
    ISend(dst=0, tag=1),
    IRecv(src=1),
    Wait(request=2),
    Coll(name="all_reduce", ranks=(0, 2)),
    Deadlock(blocked={0: 4, 2: 0}),
    DistEnv(rank=3, local_rank=1, world_size=4, node_rank=1, master_addr="gpu10", master_port=12345),
]


def test_operations_and_answers_travel():
    """Every operation, a Deadlock and a DistEnv come back from the codec as they went in."""
    tree, tensors = encode(EVERY_KIND)

    assert not tensors
    assert decode(tree, {}) == EVERY_KIND


def test_operations_compare_by_kind_and_fields():
    """Two operations are equal only if they are of one kind and agree in every field."""
    assert Send(dst=1) == Send(dst=1, tag=0)
    assert Send(dst=1) != ISend(dst=1)
    assert Coll(name="barrier", ranks=(0, 1)) != Coll(name="barrier", ranks=(0, 2))
