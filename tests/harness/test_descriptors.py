"""The descriptors of a launch arrive as what they were sent as."""

import pytest

from grader.harness.protocol.descriptors import (
    LaunchDescriptors,
    PartDescriptors,
    RankDescriptors,
    pack_descriptors,
    unpack_descriptors,
)
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.parts import Part

RANKS = (
    RankDescriptors(inputs=20, result=21, journal=22, stacks=23, log=24),
    RankDescriptors(inputs=30, result=31, journal=32, stacks=33, log=34),
)


def request(part: Part | None, *, process_group: bool = True) -> LaunchRequest:
    """Return a request for two ranks, all of a launch or part of a larger one."""
    return LaunchRequest(
        program="program",
        programs_file=None,
        student_file="work.py",
        symbols=(),
        world_size=2 if part is None else 4,
        timeout_s=1.0,
        seed=0,
        process_group=process_group,
        part=part,
    )


def part_from(first_rank: int) -> Part:
    """Return the part of a launch that runs two ranks from this one on."""
    return Part(first_rank=first_rank, num_ranks=2, first_local_rank=0, local_world_size=2, host="127.0.0.1", port=1)


FORMS = [
    (request(None), None, []),
    (request(part_from(0)), PartDescriptors(step=5, listening=6), [5, 6]),
    (request(part_from(2)), PartDescriptors(step=5, listening=None), [5]),
    (request(part_from(0), process_group=False), PartDescriptors(step=5, listening=None), [5]),
]


@pytest.mark.parametrize(
    ("launch_request", "part", "shared"), FORMS, ids=["whole", "with-rank-0", "without-rank-0", "no-group"]
)
def test_descriptors_arrive_as_what_they_are(launch_request, part, shared):
    """The order on the wire is fixed, and unpacking it by the request gives back what was packed."""
    descriptors = LaunchDescriptors(status=10, sources=11, part=part, ranks=RANKS)

    sent = pack_descriptors(descriptors)

    assert [10, 11, *shared, 20, 21, 22, 23, 24, 30, 31, 32, 33, 34] == sent
    assert descriptors == unpack_descriptors(sent, launch_request)


def test_a_wrong_number_of_descriptors_is_refused():
    """A descriptor too few would shift the meaning of all that follow it."""
    sent = pack_descriptors(LaunchDescriptors(status=10, sources=11, part=None, ranks=RANKS))

    with pytest.raises(AssertionError, match="11 descriptors for 2 ranks"):
        unpack_descriptors(sent[:-1], request(None))
