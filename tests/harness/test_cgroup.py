"""The control groups that killed judges have left are removed, and no others."""

import os
from pathlib import Path

import pytest

from grader.harness.protocol.held_folder import hold
from grader.harness.sandbox import cgroup


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


def test_a_group_is_held_as_long_as_it_is_used(hierarchy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another judge that starts leaves our groups alone until we have removed them."""
    monkeypatch.setattr(cgroup, "_limit", lambda _group, _controller: True)
    (hierarchy / "own").mkdir()
    (group,) = cgroup.make_groups()

    cgroup.remove_left_groups()

    assert group.path.exists()
    cgroup.remove_groups([group])
    assert not group.path.exists()
