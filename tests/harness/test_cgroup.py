"""Where a control group can be made, it bounds a sandbox; groups that killed judges have left are removed, and no others."""

import os
from pathlib import Path

import pytest

from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.held_folder import hold
from grader.harness.protocol.wall import Wall
from grader.harness.sandbox import cgroup
from grader.harness.trials import walls
from tests.processes import descendants


@pytest.fixture
def hierarchy(tmp_path, monkeypatch):
    """Return a folder that stands for the file system of control groups."""
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    monkeypatch.setattr(cgroup, "_own_groups", lambda: {tmp_path / "own"})
    return tmp_path


def test_only_groups_of_dead_judges_are_removed(hierarchy: Path) -> None:
    """Wherever a dead judge was, its groups go. One that is held stays, and so does one that is not ours."""
    dead, dead_elsewhere, living, strange = (
        hierarchy / name
        for name in ("own/course-sandbox-0a", "b/c/course-sandbox-0b", "own/course-sandbox-0c", "own/x")
    )
    for group in (dead, dead_elsewhere, living, strange):
        group.mkdir(parents=True)
    lock = hold(living)

    cgroup.make_groups()

    assert {living, strange} == set((hierarchy / "own").iterdir())
    assert not dead_elsewhere.exists()
    os.close(lock)


def test_controllers_that_are_mounted_together_are_found(tmp_path, monkeypatch):
    """In version 1 of control groups, several controllers may share one hierarchy, whose folder is named after all."""
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    groups = {tmp_path / "cpu,cpuacct/a", tmp_path / "memory/b", tmp_path / "c"}
    for group in (*groups, tmp_path / "cpuset/d", tmp_path / "systemd/e"):
        group.mkdir(parents=True)
        (group / "cgroup.procs").touch()
    membership = "5:cpu,cpuacct:/a\n4:memory:/b\n3:cpuset:/d\n2:pids:/not-mounted\n1:name=systemd:/e\n0::/c\n"

    assert groups == cgroup._groups_of(membership)


@pytest.mark.parametrize(("file", "held"), [("cpu.shares", 1024 * cgroup.CORES), ("cpu.weight", 100 * cgroup.CORES)])
def test_either_version_limits_shares_of_the_cpu(tmp_path, file, held):
    """All threads of a sandbox together count as one process for each core, in the units of each version."""
    (tmp_path / file).touch()

    assert cgroup._limit(tmp_path, "cpu")
    assert held == int((tmp_path / file).read_text())


def test_a_group_without_a_controller_limits_nothing(tmp_path):
    """What the kernel does not offer is not taken for a limit."""
    assert not any(cgroup._limit(tmp_path, controller) for controller in cgroup.LIMITS)
    assert [] == list(tmp_path.iterdir())


def held_by(groups) -> dict[str, int]:
    """Return what the groups' files of limits hold, by controller."""
    return {
        name: int((group / file).read_text())
        for name, limit in cgroup.LIMITS.items()
        for file in (limit.file_1, limit.file_2)
        for group in groups
        if (group / file).exists()
    }


def test_all_of_a_sandbox_is_in_groups_that_hold_the_limits():
    """The kernel says of each process of a sandbox that it is in the sandbox's groups, and of those what they hold."""
    offered = cgroup.make_groups()
    limits = held_by([group.path for group in offered])
    cgroup.remove_groups(offered)
    if not limits or walls.problem(Wall.NESTED) is not None:
        pytest.skip("This machine offers no control group that the tests may make.")

    with ZygoteHandle(wall=Wall.NESTED, preload=[]) as zygote:
        zygote.wait_until_ready()
        memberships = [Path(f"/proc/{pid}/cgroup").read_text() for pid in (zygote.pid, *descendants(zygote.pid))]
        groups = [
            {group for group in cgroup._groups_of(text) if group.name.startswith(cgroup.PREFIX)} for text in memberships
        ]
        held = held_by(groups[0])

    assert limits == held
    assert all(group == groups[0] for group in groups)
    assert not any(group.exists() for group in groups[0])


def test_a_group_is_held_as_long_as_it_is_used(hierarchy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another judge that starts leaves our groups alone until we have removed them."""
    monkeypatch.setattr(cgroup, "_limit", lambda _group, _controller: True)
    (hierarchy / "own").mkdir()
    (group,) = cgroup.make_groups()

    cgroup.remove_left_groups()

    assert group.path.exists()
    cgroup.remove_groups([group])
    assert not group.path.exists()
