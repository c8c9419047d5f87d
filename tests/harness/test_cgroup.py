"""The control groups that killed judges have left are removed, and no others."""

import os
from pathlib import Path

from grader.harness.sandbox import cgroup


def test_only_groups_of_dead_judges_are_removed(tmp_path, monkeypatch):
    """Groups that were made in another pid namespace stay: a process id has no meaning outside its namespace."""
    monkeypatch.setattr(cgroup, "_own_groups", lambda: {tmp_path})
    own = Path("/proc/self/ns/pid").stat().st_ino
    nobody = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    dead = tmp_path / f"course-sandbox-{own}-{nobody}-0a"
    living = tmp_path / f"course-sandbox-{own}-{os.getpid()}-0b"
    elsewhere = tmp_path / f"course-sandbox-{own + 1}-{nobody}-0c"
    for group in (dead, living, elsewhere):
        group.mkdir()

    cgroup.make_groups()

    assert {living, elsewhere} == set(tmp_path.iterdir())
