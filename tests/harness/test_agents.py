"""Launches over several agents end as those of one zygote do, whoever dies, hangs or lies."""

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import msgspec
import pytest

from course_env.errors import LaunchError
from grader.harness.agents import dialogue
from grader.harness.agents.agent import MAX_STRANGERS, Agent
from grader.harness.agents.channel import CODE_BYTES, Channel, ChannelError, Party
from grader.harness.agents.network import network_towards
from grader.harness.agents.roster import Member, enter, read_key, read_members, wait_for_key, wait_for_members
from grader.harness.agents.team import Team, split
from grader.harness.outcome import Outcome, StudentFailure
from grader.harness.protocol.files import make_key
from grader.harness.protocol.messages import Network
from grader.harness.protocol.wall import Wall
from tests.harness.ranks import Ranks

SECRET = b"s" * 32
HOLD = msgspec.msgpack.encode(dialogue.Hold())
LOOPBACK = Network(interface="lo", address="127.0.0.1")


@contextmanager
def agents(nodes, network=LOOPBACK):
    """Run an agent for each of these node names; yield their members."""
    with ExitStack() as stack:
        running = [Agent(SECRET, network) for _ in nodes]
        for agent in running:
            stack.callback(agent.close)
        yield tuple(
            Member(task=task, node=node, host=network.address, port=agent.port)
            for task, (node, agent) in enumerate(zip(nodes, running, strict=True))
        )


@pytest.fixture(scope="module", params=[Wall.NONE, Wall.NESTED])
def team(request):
    """Four agents on what claims to be two nodes."""
    with agents(["a", "a", "b", "b"]) as members:
        running = Team(members, SECRET, wall=request.param, preload=["torch"])
        yield running
        running.close()


@pytest.fixture
def ranks(team, tmp_path):
    """Launches of student code that the test writes."""
    return Ranks(team, tmp_path)


ALL_REDUCE = """
import os
import torch
import torch.distributed as dist

def solve(**_):
    x = torch.tensor([float(dist.get_rank() + 1)])
    dist.all_reduce(x)
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return {"sum": x, **{name: int(os.environ[name]) for name in names}}
"""


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 8])
def test_ranks_of_all_agents_are_one_group(ranks, world_size):
    """Ranks of several agents reduce together, know their local ranks, and are recorded as one launch."""
    ranks.write(ALL_REDUCE)

    remains = ranks.remains(world_size)
    run = ranks.run(world_size)

    expected_nodes = {1: "a", 2: "ab", 3: "aab", 4: "aabb", 8: "aaaabbbb"}[world_size]
    assert expected_nodes == "".join(rank.node for rank in remains.ranks)
    values = [value["value"] for value in run.values]
    assert [world_size * (world_size + 1) / 2] * world_size == [float(value["sum"]) for value in values]
    assert list(range(world_size)) == [value["RANK"] for value in values]
    assert [expected_nodes[:rank].count(node) for rank, node in enumerate(expected_nodes)] == [
        value["LOCAL_RANK"] for value in values
    ]
    assert [expected_nodes.count(node) for node in expected_nodes] == [value["LOCAL_WORLD_SIZE"] for value in values]
    assert [1] * world_size == [len(run.comm.ops("all_reduce", rank=rank)) for rank in range(world_size)]


def test_a_call_without_ranks_runs_on_the_first_agent(ranks):
    """The call is one process without a process group."""
    ranks.write("def solve(x):\n    return 2 * x\n")

    remains = ranks.remains(1, process_group=False, x=21)

    assert ["a"] == [rank.node for rank in remains.ranks]
    assert 42 == ranks.run(1, process_group=False, x=21)["value"][0]


def test_a_rank_that_returns_early_waits_for_those_elsewhere(ranks):
    """A rank that ended at once would close connections that the others still use."""
    ranks.write("""
    import time
    import torch
    import torch.distributed as dist

    def solve():
        x = torch.ones(1)
        if dist.get_rank() == 0:
            dist.send(x, 3)
        if dist.get_rank() == 3:
            time.sleep(1)
            dist.recv(x, 0)
        return x
    """)

    assert [1.0] * 4 == [float(x) for x in ranks.run(4)["value"]]


@pytest.mark.parametrize("dying", [0, 3])
def test_a_rank_that_dies_costs_its_launch_only(ranks, dying):
    """The verdict names the rank, on whichever agent it ran, and the next launch succeeds."""
    ranks.write(f"""
    import os, signal
    import torch
    import torch.distributed as dist

    def solve():
        x = torch.ones(1)
        dist.all_reduce(x)
        if dist.get_rank() == {dying}:
            os.kill(os.getpid(), signal.SIGSEGV)
        dist.all_reduce(x)
        return x
    """)

    with pytest.raises(StudentFailure, match=f"Rank {dying} of 4 ended with signal SIGSEGV") as failure:
        ranks.run(4)

    assert Outcome.CRASHED is failure.value.outcome
    ranks.write(ALL_REDUCE)
    assert 4 == len(ranks.run(4).values)


def test_a_rank_that_raises_is_named_with_its_line(ranks):
    """The student reads the rank's own message, not what broke on the others."""
    ranks.write("""
    import torch
    import torch.distributed as dist

    def solve():
        if dist.get_rank() == 2:
            raise ValueError("boom")
        dist.all_reduce(torch.ones(1))
    """)

    with pytest.raises(StudentFailure, match=r"(?s)Rank 2 of 4 raised ValueError: boom.*work.py:7 in solve"):
        ranks.run(4)


def test_a_hang_is_cut_everywhere_and_says_who_waits(ranks):
    """Every rank's stack is shown, and no error that the cut itself caused."""
    ranks.write("""
    import torch
    import torch.distributed as dist

    def solve():
        x = torch.ones(1)
        dist.recv(x, (dist.get_rank() + 1) % 4)
    """)
    ranks.zygote.wait_until_ready()  # so that what is bounded below is the launch alone
    begin = time.monotonic()

    with pytest.raises(StudentFailure) as failure:
        ranks.run(4, timeout_s=1.5)

    told = str(failure.value)
    assert Outcome.TIMED_OUT is failure.value.outcome
    assert "Launch of 4 ranks passed its 1.5 s deadline" in told
    assert all(f"Rank {rank}'s stack, innermost first: work.py:7 in solve" in told for rank in range(4))
    assert "raised" not in told
    assert time.monotonic() - begin < 10


def test_a_rank_that_stops_everything_it_can_is_cut(ranks):
    """Even a rank that ignores signals is cut."""
    ranks.write("""
    import os, signal, time
    import torch.distributed as dist

    def solve():
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        if dist.get_rank() == 3:
            time.sleep(60)
        return 1
    """)

    with pytest.raises(StudentFailure, match=r"passed its 1 s deadline"):
        ranks.run(4, timeout_s=1.0)


def test_a_flood_is_cut(ranks):
    """A launch is cut whichever of its ranks floods."""
    ranks.write("""
    import torch.distributed as dist

    def solve():
        while dist.get_rank() == 3:
            print("x" * 100000)
        dist.barrier()
    """)

    with pytest.raises(StudentFailure, match="printed more than"):
        ranks.run(4)


def test_nothing_of_a_launch_is_left(ranks, team):
    """No process of a launch goes on, on whichever agent it ran."""
    ranks.write("""
    import os, time
    import torch.distributed as dist

    def solve():
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        return 1
    """)

    assert 4 == ranks.run(4, children=True).orphans


@pytest.fixture
def small_team():
    """Two agents, and what a test may do to them."""
    with ExitStack() as stack:
        running = [Agent(SECRET, LOOPBACK) for _ in range(2)]
        for agent in running:
            stack.callback(agent.close)
        members = [
            Member(task=task, node=node, host="127.0.0.1", port=agent.port)
            for task, (node, agent) in enumerate(zip("ab", running, strict=True))
        ]
        team = Team(members, SECRET, wall=Wall.NONE, preload=["torch"])
        stack.callback(team.close)
        yield team, running


def test_an_agent_that_goes_in_a_launch_is_named(small_team, tmp_path):
    """The loss of an agent is not the student's fault, in that test or in later ones."""
    team, running = small_team
    ranks = Ranks(team, tmp_path)
    ranks.write("import time\n\ndef solve():\n    time.sleep(30)\n")
    team.wait_until_ready()
    threading.Timer(0.5, running[1].close).start()

    with pytest.raises(LaunchError, match="agent of task 1, on b, has gone"):
        ranks.run(2)

    with pytest.raises(LaunchError, match="agent of task 1, on b, cannot be reached"):
        ranks.run(2)


def test_a_zygote_that_is_killed_costs_one_launch(small_team, tmp_path):
    """Ranks may kill their parents if no sandbox is between them; the agent starts another zygote."""
    team, _ = small_team
    ranks = Ranks(team, tmp_path)
    ranks.write("""
    import os, signal
    import torch.distributed as dist

    def solve():
        if dist.get_rank() == 1:
            parent = os.getppid()
            zygote = int(open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[1])
            os.kill(zygote, signal.SIGKILL)
        dist.barrier()
    """)

    with pytest.raises(StudentFailure, match="were killed during this test"):
        ranks.run(2)

    ranks.write(ALL_REDUCE)
    assert 2 == len(ranks.run(2, timeout_s=1.0).values)  # less than it takes to import torch


def test_a_launch_that_is_left_does_not_answer_the_next(small_team, tmp_path):
    """After Ctrl-C in the middle of a launch, the next one gets its own results."""
    team, _ = small_team
    ranks = Ranks(team, tmp_path)
    ranks.write("import time\n\ndef solve():\n    time.sleep(30)\n")
    team.wait_until_ready()
    # Whoever starts tests in the background has Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        ranks.run(2)
    signal.signal(signal.SIGINT, before)

    ranks.write(ALL_REDUCE)
    assert [3.0, 3.0] == [float(value["value"]["sum"]) for value in ranks.run(2).values]


def test_an_agent_ends_when_it_is_let_go():
    """An agent runs as long as someone holds a connection to it."""
    agent = Agent(SECRET, LOOPBACK)
    waiting = threading.Thread(target=agent.wait)
    waiting.start()
    holding = connect(agent.port, SECRET)
    holding.send(HOLD)
    holding.receive()
    waiting.join(0.2)
    assert waiting.is_alive()

    holding.close()

    waiting.join(5)
    assert not waiting.is_alive()
    agent.close()


def test_who_does_not_know_the_secret_gets_nothing():
    """A stranger gets nothing after the greeting, and whoever knows the secret is still served."""
    agent = Agent(SECRET, LOOPBACK)
    with connect(agent.port, b"t" * 32) as liar:
        liar.send(HOLD)
        with pytest.raises(ChannelError, match="closed the connection"):
            liar.receive()
    silent = socket.create_connection(("127.0.0.1", agent.port))
    with connect(agent.port, SECRET) as holding:
        holding.send(HOLD)
        assert holding.receive()
    silent.close()
    agent.close()


def test_strangers_do_not_keep_a_judge_out():
    """Few strangers are listened to at a time, and when they have gone, whoever knows the secret is served."""
    agent = Agent(SECRET, LOOPBACK)
    strangers = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(3 * MAX_STRANGERS)]
    greeted = [stranger for stranger in strangers if is_greeted(stranger)]
    assert MAX_STRANGERS == len(greeted)
    for stranger in strangers:
        stranger.close()

    end = time.monotonic() + 10
    while True:
        try:
            with connect(agent.port, SECRET) as holding:
                holding.send(HOLD)
                assert holding.receive()
            break
        except ChannelError:  # the last of them may not have been missed yet
            assert time.monotonic() < end
    agent.close()


def is_greeted(stranger):
    """Return whether an agent has opened a conversation."""
    try:
        return len(stranger.recv(32)) == 32
    except ConnectionResetError:
        return False


def test_an_agent_that_runs_out_of_descriptors_goes_on(monkeypatch):
    """The agent accepts nobody while it has no descriptors, and accepts again afterwards."""
    agent = Agent(SECRET, LOOPBACK)
    server, failures = agent._server, iter([OSError(24, "Too many open files")] * 3)

    class Failing:
        def accept(self):
            for failure in failures:
                raise failure
            return server.accept()

        def __getattr__(self, name):
            return getattr(server, name)

    agent._server = Failing()
    socket.create_connection(("127.0.0.1", agent.port)).close()  # wakes the thread that accepts
    with connect(agent.port, SECRET) as holding:
        holding.send(HOLD)
        assert holding.receive()
    agent.close()
    assert [] == list(failures)


def connect(port, secret):
    """Connect to an agent as a judge does."""
    return Channel(socket.create_connection(("127.0.0.1", port)), secret, Party.JUDGE)


@contextmanager
def channel_pair(secrets=(SECRET, SECRET), ends=(Party.JUDGE, Party.AGENT)):
    """Yield two ends of a connection."""
    left, right = tcp_pair()
    made = {}
    other = threading.Thread(target=lambda: made.update(right=Channel(right, secrets[1], ends[1])))
    other.start()
    with Channel(left, secrets[0], ends[0]) as judge:
        other.join()
        with made["right"] as agent:
            yield judge, agent


def tcp_pair():
    """Return two connected TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        left = socket.create_connection(server.getsockname())
        return left, server.accept()[0]


def test_messages_arrive_in_both_directions():
    """Empty and long messages arrive in their order."""
    with channel_pair() as (judge, agent):
        judge.send(b"")
        judge.send(b"a" * 100_000)
        agent.send(b"back")
        assert [b"", b"a" * 100_000] == [agent.receive(), agent.receive()]
        assert b"back" == judge.receive()


@pytest.mark.parametrize("what", ["again", "changed", "shortened", "turned round"])
def test_a_message_that_was_tampered_with_is_refused(what):
    """A message that was repeated, changed, shortened or sent back to its sender is refused."""
    with channel_pair() as (judge, agent):
        judge.send(b"first")
        raw = agent._socket.recv(1000)
        assert 8 + CODE_BYTES + 5 == len(raw)
        told = {
            "again": raw + raw,
            "changed": raw[:-1] + b"x",
            "shortened": (4).to_bytes(8, "little") + raw[8:-1],
            "turned round": raw,
        }[what]
        receiver, sender = (judge, agent) if what == "turned round" else (agent, judge)
        sender._socket.sendall(told)

        if what == "again":
            assert b"first" == receiver.receive()
        with pytest.raises(ChannelError, match="does not know the secret"):
            receiver.receive()


def test_an_unknown_sender_cannot_make_us_hold_much():
    """A first message that is long is refused before it is read."""
    with channel_pair() as (judge, agent):
        judge._socket.sendall((1 << 31).to_bytes(8, "little"))
        with pytest.raises(ChannelError, match="too long"):
            agent.receive()


@pytest.mark.parametrize(
    ("world_size", "expected"),
    [
        (1, [(0, range(1))]),
        (2, [(0, range(1)), (2, range(1, 2))]),
        (3, [(0, range(1)), (1, range(1, 2)), (2, range(2, 3))]),
        (4, [(task, range(task, task + 1)) for task in range(4)]),
        (5, [(0, range(2)), (1, range(2, 3)), (2, range(3, 4)), (3, range(4, 5))]),
        (16, [(task, range(4 * task, 4 * task + 4)) for task in range(4)]),
    ],
)
def test_ranks_are_spread_as_widely_as_they_go(world_size, expected):
    """Each agent gets consecutive ranks, as evenly as possible."""
    members = [Member(task=task, node="", host="", port=0) for task in range(4)]

    assert expected == [(member.task, ranks) for member, ranks in split(world_size, members)]


def test_the_roster(tmp_path):
    """Members are found by their tasks and the job's run, only the owner can read the key, and missing members are named."""
    make_key(tmp_path / "job")
    for task in (2, 0):
        enter(tmp_path / "job", 0, Member(task=task, node=f"n{task}", host="127.0.0.1", port=1))

    assert [0, 2] == [member.task for member in read_members(tmp_path / "job", 0)]
    assert () == read_members(tmp_path / "job", 1)
    assert 0o600 == (tmp_path / "job" / "key").stat().st_mode & 0o777
    assert 32 == len(read_key(tmp_path / "job"))
    with pytest.raises(LaunchError, match=r"agents of tasks \[1\] of the job have not shown up"):
        wait_for_members(tmp_path / "job", 0, 3, patience_s=0.1)
    with pytest.raises(LaunchError, match="cannot be read"):
        read_key(tmp_path)


def test_a_key_is_waited_for(tmp_path):
    """A task waits for a key that the shared folder does not show yet."""
    with pytest.raises(LaunchError, match="cannot be read"):
        wait_for_key(tmp_path / "job", patience_s=0.1)
    timer = threading.Timer(0.2, make_key, [tmp_path / "job"])
    timer.start()

    assert 32 == len(wait_for_key(tmp_path / "job", patience_s=60.0))
    timer.join()


def test_the_network_towards_this_machine_is_the_loopback():
    """A machine alone uses its loopback interface."""
    assert LOOPBACK == network_towards("127.0.0.1")


def test_a_host_that_cannot_be_reached_is_named():
    """The error names the host as it was given."""
    with pytest.raises(LaunchError, match=r"no way to nowhere\.invalid"):
        network_towards("nowhere.invalid")
