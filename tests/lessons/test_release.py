"""The student repository can be made of the course as it is."""

import re
from pathlib import Path

import pytest

from grader.course.catalog import load_course
from grader.course.release.repository import release

ROOT = Path(__file__).parent.parent.parent


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A student's copy, and the names of its files."""
    folder = tmp_path_factory.mktemp("release") / "student"
    return folder, release(load_course(ROOT), folder)


def links_of(page):
    """Return the relative links of a Markdown page, without what follows a `#`; none of them stands in code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in LINK.findall(text)]
    return [target for target in targets if target and "://" not in target]


def test_the_release_shows_no_staff_text(student):
    """Whatever a README or a public test shares with a solution or a mutant stops the release; nothing does."""
    _, files = student

    assert "slurm/sbatch/train.sbatch" in files
    assert not any("solutions" in file or "hidden" in file for file in files)


def test_every_link_of_a_released_page_leads_somewhere(student):
    """README, changelog, docs and chapters link to files that students have as well."""
    folder, files = student
    pages = [folder / file for file in files if file.endswith(".md")]
    links = [(page.relative_to(folder), link, page.parent / link) for page in pages for link in links_of(page)]

    assert {"README.md", "SECURITY.md", "CHANGELOG.md", "docs/architecture.md"} <= set(files)
    assert 20 < len(links)
    assert [] == [f"{page}: {link}" for page, link, target in links if not target.exists()]
