"""A folder is held until its process lets go of it, and one that is taken while it is made is made again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from grader.harness.protocol.held_folder import held_folder, hold, new_and_held, remove_left_folders

HOLDS = """
import sys
from pathlib import Path
from grader.harness.protocol.held_folder import held_folder
with held_folder("judge", Path(sys.argv[1])) as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_held_folder_is_gone_with_its_block(tmp_path):
    """Inside the block nobody else can remove the folder; after it, it is gone with all in it."""
    with held_folder("judge", tmp_path) as folder:
        (folder / "file").touch()
        remove_left_folders(tmp_path)
        assert (folder / "file").exists()
        assert hold(folder) is None

    assert [] == list(tmp_path.iterdir())


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path):
    """While the other process lives its folder stays; when it was killed, the next one that wants a folder removes it."""
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        theirs = Path(process.stdout.readline().strip())
        with held_folder("judge", tmp_path):
            assert theirs.exists()
        process.kill()
        process.wait()

    with held_folder("judge", tmp_path) as ours:
        assert [ours] == list(tmp_path.iterdir())


def test_a_folder_that_was_taken_before_it_was_held_is_made_again(tmp_path):
    """Between making a folder and holding it, another process may take it for one that was left."""
    (tmp_path / "taken").mkdir()
    taken = hold(tmp_path / "taken")
    names = iter(("taken", "removed", "free"))

    def make() -> Path:
        folder = tmp_path / next(names)
        folder.mkdir(exist_ok=True)
        if folder.name == "removed":
            shutil.rmtree(folder)
        return folder

    folder, lock = new_and_held(make)

    assert folder == tmp_path / "free"
    os.close(lock)
    os.close(taken)
