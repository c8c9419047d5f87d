"""The student repository can be made of the course as it is."""

from pathlib import Path

from grader.course.catalog import load_course
from grader.course.release.repository import release

ROOT = Path(__file__).parent.parent.parent


def test_the_release_shows_no_staff_text(tmp_path):
    """Whatever a README or a public test shares with a solution or a mutant stops the release; nothing does."""
    files = release(load_course(ROOT), tmp_path / "student")

    assert "slurm/sbatch/train.sbatch" in files
    assert not any("solutions" in file or "hidden" in file for file in files)
