"""Hidden tests of exercise `find_deadlock`: against a simulator that tries every order in which ranks may run."""

import random
import re

import torch

from course_env.communication import Coll, Deadlock, IRecv, ISend, Recv, Send, Wait
from course_env.rank_programs import call_each
from grader.harness import assert_arguments_kept, assert_each_returns, exercise


def channel_of(op, rank):
    """Return which list of requests an operation belongs to, or None for a Wait or a Coll."""
    if isinstance(op, Send | ISend):
        return ("send", rank, op.dst, op.tag)
    if isinstance(op, Recv | IRecv):
        return ("recv", op.src, rank, op.tag)
    return None


def num_posted(ranks, at, channel):
    """Return how many requests of a channel have been posted in the state `at`."""
    kind, source, destination, _ = channel
    rank = source if kind == "send" else destination
    program, here = ranks[rank], at[rank]
    posted = program[:here]
    if here < len(program) and isinstance(program[here], Send | Recv):
        posted = program[: here + 1]
    return sum(channel_of(op, rank) == channel for op in posted)


def is_complete(ranks, at, rank, index):
    """Return whether the request that was posted at `index` has met its match."""
    channel = channel_of(ranks[rank][index], rank)
    kind, *rest = channel
    number = sum(channel_of(op, rank) == channel for op in ranks[rank][:index])
    return num_posted(ranks, at, ("recv" if kind == "send" else "send", *rest)) > number


def successors(ranks, at):
    """Yield every state that one step leads to; a collective is one step of all its ranks."""
    here = {rank: ranks[rank][at[rank]] for rank in range(len(ranks)) if at[rank] < len(ranks[rank])}
    for rank, op in here.items():
        if isinstance(op, Coll):
            movers = op.ranks if all(here.get(other) == op for other in op.ranks) else ()
        elif isinstance(op, Wait):
            movers = (rank,) if is_complete(ranks, at, rank, op.request) else ()
        else:
            movers = (rank,) if isinstance(op, ISend | IRecv) or is_complete(ranks, at, rank, at[rank]) else ()
        if movers:
            yield tuple(place + (other in movers) for other, place in enumerate(at))


def try_every_order(ranks):
    """Return the Deadlock, or None, in which every order of steps ends."""
    start = (0,) * len(ranks)
    seen, todo, ends = {start}, [start], set()
    while todo:
        at = todo.pop()
        following = set(successors(ranks, at))
        ends |= set() if following else {at}
        todo += following - seen
        seen |= following
    (end,) = ends  # all orders end in one state, or the semantics would not be fit for an exercise
    blocked = {rank: place for rank, place in enumerate(end) if place < len(ranks[rank])}
    return Deadlock(blocked=blocked) if blocked else None


def random_ranks(rng):
    """Return programs that match each other, then damaged or shuffled a little, or not at all."""
    num_ranks = rng.choice([2, 2, 3, 3, 4])
    drafts = [[] for _ in range(num_ranks)]
    for number in range(rng.randint(3, 7)):
        if rng.random() < 0.25:
            members = tuple(sorted(rng.sample(range(num_ranks), rng.randint(1, num_ranks))))
            for rank in members:
                drafts[rank].append(("coll", rng.choice(["all_reduce"] * 5 + ["barrier"]), members))
            continue
        source, destination = rng.sample(range(num_ranks), 2) if rng.random() < 0.95 else [rng.randrange(num_ranks)] * 2
        tag = rng.choice([0, 0, 1])
        for rank, kind, other in ((source, "send", destination), (destination, "recv", source)):
            posts_only = rng.random() < 0.5 or source == destination
            drafts[rank].append(("i" + kind if posts_only else kind, other, tag, number))
            if posts_only and rng.random() < 0.8:
                drafts[rank].append(("wait", "i" + kind, number))
    for _ in range(rng.choice([0, 0, 0, 1, 1, 3])):
        draft = rng.choice(drafts)
        if draft and rng.random() < 0.2:
            draft.pop(rng.randrange(len(draft)))
        if len(draft) > 1:
            i = rng.randrange(len(draft) - 1)
            draft[i], draft[i + 1] = draft[i + 1], draft[i]
    return [finished(draft) for draft in drafts]


def finished(draft):
    """Return a draft as operations; a wait that has got before its request is dropped."""
    kinds = {"send": Send, "isend": ISend, "recv": Recv, "irecv": IRecv}
    program, requests = [], {}
    for kind, *details in draft:
        if kind == "coll":
            program.append(Coll(name=details[0], ranks=details[1]))
        elif kind == "wait":
            program += [Wait(request=requests[tuple(details)])] if tuple(details) in requests else []
        else:
            other, tag, number = details
            requests[kind, number] = len(program)
            peer = {"dst": other} if kind.endswith("send") else {"src": other}
            program.append(kinds[kind](**peer, tag=tag))
    return program


def assert_found(launch, cases, expected, **options):
    """Compare what the student finds in each case, and check that no program was changed."""
    calls = [{"programs": ranks} for ranks in cases]
    run = launch(call_each, 1, shared={"function": "find_deadlock", "calls": calls}, process_group=False)
    assert_each_returns(run, "find_deadlock", calls, expected, **options)
    assert_arguments_kept(run, "programs")


@exercise("find_deadlock", aspect="equivalence")
def test_random_programs(launch):
    """In 200 random sets of programs, exactly those ranks are found that no order of steps brings to their end."""
    rng = random.Random(int(torch.randint(2**31, ())))  # noqa: S311 - test cases, no secrets
    cases = [random_ranks(rng) for _ in range(200)]
    assert_found(launch, cases, [try_every_order(ranks) for ranks in cases])


@exercise("find_deadlock", aspect="equivalence")
def test_overlapping_groups(launch):
    """Two collectives whose groups overlap deadlock exactly if the ranks disagree about their order."""
    a, b, c = (Coll(name="all_reduce", ranks=ranks) for ranks in ((0, 1), (1, 2), (0, 2)))
    cases = [[[a, c], [a, b], [b, c]], [[a, c], [b, a], [c, b]], [[c, a], [a, b], [b, c]]]
    expected = [None, Deadlock(blocked={0: 0, 1: 0, 2: 0}), Deadlock(blocked={0: 0, 1: 0, 2: 0})]
    assert_found(launch, cases, expected)


@exercise("find_deadlock", aspect="property")
def test_a_finished_rank_is_not_blocked(launch):
    """A request that nobody waits for blocks nobody; a rank that waits for a finished one is blocked."""
    cases = [
        [[ISend(dst=1)], []],
        [[ISend(dst=1)], [Recv(src=0), Recv(src=0)]],
        [[IRecv(src=1), Wait(request=0)], []],
        [[IRecv(src=1)], [Send(dst=0), Send(dst=0)]],
    ]
    blocked = [None, {1: 1}, {0: 1}, {1: 1}]
    expected = [None if ranks is None else Deadlock(blocked=ranks) for ranks in blocked]
    assert_found(launch, cases, expected)


@exercise("find_deadlock", aspect="property")
def test_channels_are_apart(launch):
    """Tags, directions and partners keep messages apart; a rank's message to itself needs a posted request."""
    cases = [
        [[Send(dst=1, tag=1)], [Recv(src=0, tag=2)]],
        [[ISend(dst=1, tag=1), Send(dst=1, tag=2)], [Recv(src=0, tag=2), Recv(src=0, tag=1)]],
        [[Send(dst=2)], [Recv(src=2)], [Recv(src=1)]],
        [[Send(dst=0), Recv(src=0)]],
        [[ISend(dst=0), Recv(src=0), Wait(request=0), Wait(request=0)]],
    ]
    blocked = [{0: 0, 1: 0}, None, {0: 0, 1: 0, 2: 0}, {0: 0}, None]
    expected = [None if ranks is None else Deadlock(blocked=ranks) for ranks in blocked]
    assert_found(launch, cases, expected)


@exercise("find_deadlock", aspect="robustness")
def test_long_programs(launch):
    """Programs of thousands of operations are checked within the test's time."""
    rounds = 1000
    ring = [
        [op for k in range(rounds) for op in (ISend(dst=(r + 1) % 4), Recv(src=(r - 1) % 4), Wait(request=3 * k))]
        for r in range(4)
    ]
    ping_pong = [[Send(dst=1), Recv(src=1)] * rounds, [Recv(src=0), Send(dst=0)] * rounds]
    stuck = [[*ping_pong[0], Recv(src=1)], ping_pong[1]]
    assert_found(launch, [ring, ping_pong, stuck], [None, None, Deadlock(blocked={0: 2 * rounds})])


@exercise("find_deadlock", aspect="robustness")
def test_nothing_to_do(launch):
    """No ranks, and ranks without operations, do not deadlock."""
    assert_found(launch, [[], [[]], [[], [], []]], [None, None, None])


@exercise("find_deadlock", aspect="robustness")
def test_the_meaningless_operation_is_named(launch):
    """The error says which operation of which rank has no meaning."""
    before = [Send(dst=0), *[ISend(dst=0)] * 16]
    meaningless = [
        Recv(src=-1),
        Send(dst=9),
        IRecv(src=4),
        Wait(request=17),
        Wait(request=-1),
        Wait(request=18),
        Wait(request=0),
        Coll(name="b", ranks=(2, 8)),
    ]
    calls = [{"programs": [[], [], [*before, op], []]} for op in meaningless]
    run = launch(call_each, 1, shared={"function": "find_deadlock", "calls": calls}, process_group=False)
    for op, error in zip(meaningless, run["errors"][0], strict=True):
        assert {"2", "17"} <= set(re.findall(r"\d+", error)), (
            f"{op} at index 17 of rank 2 must raise ValueError, whose message gives 2 and 17. It is: {error or 'no error'}"
        )
