"""`course doctor --profile` says what a cluster offers, and what to change."""

import shutil
import sys
from pathlib import Path

import pytest

from grader.cluster.doctor_job import TaskFindings
from grader.cluster.doctor_request import findings
from grader.harness.protocol.wall import Wall
from slurm.profile import Profile

MINI_COURSE = Path(__file__).parent.parent / "mini_course"


@pytest.fixture
def mini(tmp_path):
    """A course to type the command in."""
    return shutil.copytree(MINI_COURSE, tmp_path / "course", ignore=shutil.ignore_patterns("__pycache__", "out"))


def doctor(profile):
    """Return what to type in the cluster."""
    return (sys.executable, "-m", "grader.cli.course", "doctor", "--profile", profile)


def test_a_good_cluster(cluster, mini):
    """On a good cluster only the GPUs are missing, and nothing of the job is left."""
    printed = cluster.run(*doctor("dev"), cwd=mini)

    lines = {line[2:16].strip(): line for line in printed.splitlines() if line[:1] in "✓✗"}
    assert ["nodes", "python", "wall", "GPUs", "network", "shared folder", "clock"] == list(lines)
    assert "4 tasks on node0, node1." in lines["nodes"]
    assert "gloo over" in lines["network"]
    assert ["GPUs"] == [name for name, line in lines.items() if line.startswith("✗")]
    assert [] == list((mini / "out" / "doctor").iterdir())
    newest = cluster.run("squeue", "--noheader", "--states=all", "--sort=-i", "--format=%j %T").splitlines()[0]
    assert newest.startswith("doctor-")
    assert newest.endswith("COMPLETED")


def test_a_job_that_cannot_begin_says_where_to_look(cluster, mini):
    """The error shows what the log says about a failing `setup`, and where the log is."""
    profile = mini / "broken.toml"
    profile.write_text('settle_s = 1.0\nsetup = ["echo no such module", "exit 3"]\n')

    printed = cluster.run(*doctor(str(profile)), cwd=mini, code=4, merged=True)

    assert "The job ended without an answer: FAILED" in printed
    assert "no such module" in printed
    assert "/out/doctor/" in printed.replace("\n", "")


def of(tasks, profile=None, here=100.0):
    """Return findings by name."""
    return {finding.name: finding for finding in findings(tasks, profile or Profile(nodes=2), here=here)}


GOOD = {
    "python": "3.11.7",
    "torch": "2.13.0",
    "wall": Wall.NESTED,
    "interface": "eth0",
    "backend": "gloo",
    "time": 100.0,
}


def test_each_trouble_has_its_remedy():
    """Each of these has a finding: too few nodes, two versions, no wall, a slow folder, a wrong clock, a failed task."""
    tasks = [
        TaskFindings(rank=0, node="n0", **GOOD),
        TaskFindings(rank=1, node="n0", **GOOD | {"torch": "2.4.0", "wall": Wall.NONE}, shared_s=7.0, clock_s=-3.0),
        TaskFindings(rank=2, node="n1", python="3.11.7", problem="n1 has no way to n0."),
    ]

    found = of(tasks, Profile(nodes=3, settle_s=2.0, gres="gpu:4"))

    assert "The profile asks for 3" in found["nodes"].cost_of_absence
    assert "torch 2.4.0" in found["python"].detail
    assert "none on n0, n1" in found["wall"].detail
    assert "settle_s = 15" in found["shared folder"].how_to_get
    assert "3.00 s apart" in found["clock"].detail
    assert "The profile asks for gres gpu:4" in found["GPUs"].detail
    assert "n1 has no way to n0." == found["n1"].detail
    assert not any(finding.present for finding in found.values())


def test_gpus_are_named():
    """With a GPU for each task, the finding names GPUs and backend."""
    tasks = [
        TaskFindings(
            rank=rank, node=f"n{rank}", **GOOD | {"backend": "nccl"}, gpus=("V100",), placement="NCCL on GPUs (so)"
        )
        for rank in range(2)
    ]

    found = of(tasks)

    assert "2 (V100). Ranks: NCCL on GPUs (so)." == found["GPUs"].detail
    assert found["network"].detail.startswith("nccl over eth0")
    assert all(finding.present for finding in found.values())
