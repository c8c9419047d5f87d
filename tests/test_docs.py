"""The maps say where things are: what they name exists, and what exists has its place in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAP = ROOT / "docs" / "architecture.md"
PAGES = [MAP, *sorted((ROOT / "docs" / "decisions").glob("*.md")), ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]

PATH = re.compile(r"`([a-z_]+(?:/[a-z_0-9]+)+\.py)`")
ROW_CHARACTERS = 160


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_python_file_that_a_page_names_exists(page: Path) -> None:
    """A file is named relative to the repository or to grader/, and is there."""
    named = PATH.findall(page.read_text())
    assert [] == [path for path in named if not any((base / path).is_file() for base in (ROOT, ROOT / "grader"))]


@pytest.mark.parametrize("package", ["grader", "grader/harness", "grader/course", "grader/batch"])
def test_every_folder_is_on_the_map(package: str) -> None:
    """Whoever opens a folder finds a row that says what it owns."""
    text = MAP.read_text()
    folders = [folder.name for folder in (ROOT / package).iterdir() if (folder / "__init__.py").exists()]
    assert [] == [name for name in folders if not re.search(rf"`[\w./]*\b{name}/?`", text)]


def test_the_map_is_read_in_five_minutes() -> None:
    """No row of a table is a paragraph, and the whole is 1300 words at most."""
    text = MAP.read_text()
    assert [] == [line for line in text.splitlines() if line.startswith("|") and len(line) > ROW_CHARACTERS]
    assert len(text.split()) <= 1300


def test_golden_texts_name_no_folder_of_their_writer() -> None:
    """A traceback in the text of a mutant names the launch's own folder or the virtual environment, whoever wrote it."""
    texts = sorted(ROOT.glob("solutions/*/told/*.md"))
    assert texts

    foreign = {path.name: re.findall(r'File "(/(?!launch/)[^"]+)"', path.read_text(encoding="utf-8")) for path in texts}
    assert not {name: files for name, files in foreign.items() if files}
