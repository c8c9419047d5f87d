"""Launches on GPUs: tried before they are trusted, with what CUDA and NCCL need and no more.

The tests that need a GPU are few, and marked: `pytest -m gpu` on a machine that has one.
"""

import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from course_env import devices
from course_env.devices import Gpu, visible_gpus
from course_env.errors import CatalogError
from grader.harness.agents.agent import Agent
from grader.harness.agents.roster import Member
from grader.harness.agents.team import Team
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.messages import Network
from grader.harness.protocol.wall import Wall
from grader.harness.run import Run
from grader.harness.sandbox import visible, zygote_command
from grader.harness.trials.gpus import Launchers, handles
from grader.harness.trials.walls import problem
from tests.harness.ranks import Ranks

SECRET = b"s" * 32
LOOPBACK = Network(interface="lo", address="127.0.0.1")


def needs_gpu(function):
    """Mark a test that needs a GPU, and skip it elsewhere."""
    skipped = pytest.mark.skipif(not devices.DRIVER.exists(), reason="needs an NVIDIA GPU that PyTorch can use")
    return pytest.mark.gpu(skipped(function))


class Pretender:
    """A launcher that claims to see GPUs."""

    def __init__(self, launcher, number):
        self._launcher = launcher
        self._gpus = tuple(Gpu(uuid=f"gpu{number}", handle=str(number)) for number in range(number))

    def gpus_seen(self, world_size):
        """Return the same for every rank."""
        return [self._gpus] * world_size

    def __getattr__(self, name):
        return getattr(self._launcher, name)


@pytest.fixture
def no_gpu(monkeypatch):
    """Have CUDA see no GPU, whatever there is."""
    monkeypatch.setattr(visible, "gpu_devices", tuple)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("wall", [Wall.NONE, Wall.NESTED])
def test_gpus_that_cannot_be_used_are_as_good_as_none(zygote, tmp_path, wall):
    """Ranks try to reduce on the GPUs; if that fails, the failure is the reason for the CPU, where launches go on."""
    launcher = Launchers(Pretender(zygote, 2), partial(ZygoteHandle, wall=wall, preload=["torch"], gpus=True))
    try:
        placement = launcher.place(2)
        assert str(placement).startswith("gloo on the CPU (a trial on GPUs failed: Rank 0 of 2 raised ")
        assert placement is launcher.place(2), "once is enough"
        assert "3 ranks would share 2 GPUs" in str(launcher.place(3))
        ranks = Ranks(launcher.launcher_for(placement), tmp_path)
        ranks.write("def solve():\n    return 1\n")
        assert [1, 1] == list(ranks.run(2)["value"])
    finally:
        launcher.close()


def test_where_there_is_none_nothing_is_started(zygote):
    """Without a GPU no launcher for GPUs is started."""

    def start():
        raise AssertionError

    launcher = Launchers(Pretender(zygote, 0), start)

    assert "gloo on the CPU (there is no GPU)" == str(launcher.place(2))
    launcher.close()


def test_agents_tell_which_gpus_their_ranks_can_use():
    """Two tasks of a node see the same GPUs and another node has its own, so four ranks have four."""
    seen = {node: tuple(Gpu(uuid=f"{node}{number}", handle=str(number)) for number in range(2)) for node in "ab"}
    with ExitStack() as stack:
        members = []
        for task, node in enumerate("aabb"):
            agent = Agent(SECRET, LOOPBACK)
            stack.callback(agent.close)
            members.append(Member(task=task, node=node, host="127.0.0.1", port=agent.port, gpus=seen[node]))
        team = Team(members, SECRET, wall=Wall.NONE, preload=[])
        stack.callback(team.close)

        assert [seen["a"], seen["a"], seen["b"], seen["b"]] == list(team.gpus_seen(4))
        assert [seen["a"], seen["b"]] == list(team.gpus_seen(2))
        placement = devices.place_ranks(team.gpus_seen(4))
        assert ("0", "1", "0", "1") == handles(placement)


def test_what_nobody_records_cannot_be_judged():
    """A test that may run on GPUs is told so wherever it runs."""
    run = Run(_values=({},), _comm=None, log=("",), orphans=0, max_rss_kb=(0,), anywhere=True)

    assert ({},) == run.values
    with pytest.raises(CatalogError, match="On GPUs nobody records"):
        _ = run.comm


ATTEMPTS = """
import os, resource, socket, sys, tempfile
from grader.harness.inside import confine
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.wall import Wall

request = LaunchRequest(
    program="", programs_file=None, student_file="", symbols=(), world_size=1, timeout_s=1.0, seed=0,
    process_group=True, gpus=tuple(sys.argv[1:]),
)
confine.confine_rank(Wall.FLAT, (), confine.compile_filters(), request)
for name, attempt in {
    "memory file": lambda: os.memfd_create("x"),
    "socket file": lambda: socket.socket(socket.AF_UNIX),
    "room for devices": lambda: resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY or 1 / 0,
    "process": os.fork,
    "program": lambda: os.execv("/bin/true", ["true"]),
    "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
}.items():
    try:
        attempt()
    except (OSError, ZeroDivisionError):
        continue
    print(name)
"""


@pytest.mark.parametrize(("gpus", "possible"), [((), []), (("0",), ["memory file", "socket file", "room for devices"])])
def test_a_rank_with_a_gpu_may_do_what_cuda_and_nccl_need(gpus, possible):
    """A rank may start and send only what CUDA and NCCL need, and nothing of that without a GPU."""
    done = subprocess.run([sys.executable, "-c", ATTEMPTS, *gpus], capture_output=True, text=True, check=True)

    assert possible == done.stdout.splitlines()


def test_device_files_are_in_no_sandbox_but_one_for_gpus(monkeypatch, tmp_path):
    """Only a sandbox for GPUs has device files, and /sys, where drivers look for them."""
    monkeypatch.setattr(visible, "gpu_devices", lambda: (Path("/dev/nvidia0"),))
    options = {"wall": Wall.NESTED, "control": 3, "scratch": tmp_path, "groups": (tmp_path,), "preload": ()}

    with zygote_command.zygote_command(**options, network=None, gpus=True) as with_gpus:
        assert "--dev-bind" in " ".join(with_gpus.arguments)
        assert "/sys" in " ".join(with_gpus.arguments)
    with zygote_command.zygote_command(**options, network=None, gpus=False) as without:
        assert "--dev-bind" not in " ".join(without.arguments)
        assert "/sys" not in " ".join(without.arguments)


def test_ranks_with_gpus_are_told_how_this_machine_wants_nccl(monkeypatch, tmp_path):
    """The machine's settings of NCCL reach ranks with GPUs, except those of the network, which the job decides; ranks without GPUs see none."""
    monkeypatch.setenv("NCCL_P2P_LEVEL", "NVL")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib0")
    monkeypatch.setenv("SECRET", "s")
    options = {"wall": Wall.NONE, "control": 3, "scratch": tmp_path, "groups": (), "preload": ()}
    network = Network(interface="eth7", address="10.0.0.1")

    with zygote_command.zygote_command(**options, network=network, gpus=True) as with_gpus:
        environment = with_gpus.environment
    with zygote_command.zygote_command(**options, network=network, gpus=False) as without:
        assert not [name for name in without.environment if name.startswith("NCCL_")]
    assert ("NVL", "eth7") == (environment["NCCL_P2P_LEVEL"], environment["NCCL_SOCKET_IFNAME"])
    assert "SECRET" not in environment


TRAIN = """
import torch
import torch.distributed as dist

def solve(x):
    made = torch.arange(3.0)
    dist.all_reduce(x)
    return {"input": x.device.type, "made": made.device.type, "backend": dist.get_backend(), "sum": x, "half": made / 2}
"""


@needs_gpu
@pytest.mark.parametrize("wall", [Wall.NONE, Wall.FLAT, Wall.NESTED])
def test_a_rank_computes_on_its_gpu_and_communicates_by_nccl(zygote, tmp_path, wall):
    """Behind every wall, arguments and new tensors are on the GPU, and results come back from there."""
    import torch

    assert problem(wall) is None
    launcher = Launchers(zygote, partial(ZygoteHandle, wall=wall, preload=["torch"], gpus=True))
    try:
        placement = launcher.place(1)
        assert str(placement) == "NCCL on GPUs (the only rank has a GPU to itself)"
        ranks = Ranks(launcher.launcher_for(placement), tmp_path)
        ranks.write(TRAIN)
        for _ in range(2):  # the zygote must be as good as new
            value = ranks.run(1, gpus=handles(placement), x=torch.ones(3))["value"][0]
            assert ("cuda", "cuda", "nccl") == (value["input"], value["made"], value["backend"])
            assert torch.equal(torch.ones(3), value["sum"])
            assert torch.equal(torch.tensor([0.0, 0.5, 1.0]), value["half"])
        more = launcher.place(len(visible_gpus()) + 1)
        assert "gloo" == more.backend
        assert "would share" in more.reason
    finally:
        launcher.close()


@needs_gpu
def test_a_hang_on_a_gpu_is_cut_and_the_next_launch_is_well(zygote, tmp_path):
    """A hang on a GPU is cut as one on the CPU is."""
    launcher = Launchers(zygote, partial(ZygoteHandle, wall=Wall.NESTED, preload=["torch"], gpus=True))
    try:
        placement = launcher.place(1)
        ranks = Ranks(launcher.launcher_for(placement), tmp_path)
        ranks.write("import time\ndef solve():\n    time.sleep(60)\n")
        assert ranks.remains(1, gpus=handles(placement), timeout_s=5.0).deadline_passed
        ranks.write("import torch\ndef solve():\n    return torch.ones(1)\n")
        assert 1.0 == float(ranks.run(1, gpus=handles(placement))["value"][0])
    finally:
        launcher.close()


@needs_gpu
def test_chapter_4_trains_on_gpus(tmp_path):
    """The judge runs the solution of a data-parallel exercise on one GPU; a test with two ranks uses what there is."""
    root = Path(__file__).parents[2]
    report = tmp_path / "report.jsonl"
    tests = root / "assignments" / "ch04_data_parallelism" / "test_naive_ddp.py"
    words = ("-m", "pytest", tests, "--submission", root / "solutions", "--report", report, "-k", "as_one_process")

    done = subprocess.run([sys.executable, *map(str, words)], cwd=root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "NCCL on GPUs (the only rank has a GPU to itself)" in report.read_text()
