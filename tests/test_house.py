"""What keeps the code readable for a stranger, and would be lost a little at a time: short files, small folders, one name for one thing."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("course_env", "grader", "slurm")
MAX_LINES = 350
MAX_ENTRIES = 15

SHARED_CLASS_NAMES: dict[str, str] = {}
"""Names that two classes share, each with its reason."""

SHARED_MODULE_NAMES = {
    "__init__": "every package has one",
    "__main__": "what `python -m` runs: the two commands and the development cluster",
    "check": "`course check` and `grade check`: a command's module is named as the command is typed",
    "run": "harness.run is what a launch gives a test; `grade run` is a command",
}
"""Names that two modules share, each with its reason."""


def modules() -> list[Path]:
    """Return every module of the three packages."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def homes_of(named: list[tuple[str, Path]]) -> dict[str, list[str]]:
    """Return, for each name that occurs more than once, where it does."""
    homes = defaultdict(list)
    for name, path in named:
        homes[name].append(str(path.relative_to(ROOT)))
    return {name: paths for name, paths in homes.items() if len(paths) > 1}


def test_no_file_is_longer_than_a_reader_bears() -> None:
    """A file holds one subject; at 350 lines it holds two."""
    assert [] == [str(path) for path in modules() if len(path.read_text().splitlines()) > MAX_LINES]


def test_no_folder_is_a_heap() -> None:
    """A reader takes in 15 names at once."""
    folders = [path for package in ("grader", "slurm") for path in (ROOT / package, *(ROOT / package).rglob("*/"))]
    crowded = [
        str(folder)
        for folder in folders
        if folder.is_dir() and len([entry for entry in folder.iterdir() if entry.name != "__pycache__"]) > MAX_ENTRIES
    ]
    assert [] == crowded


def test_a_class_name_stands_for_one_thing() -> None:
    """Two classes share a name only where a reason stands above; a leading underscore makes no other name of it."""
    classes = [
        (node.name.lstrip("_"), path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert {} == {name: paths for name, paths in homes_of(classes).items() if name not in SHARED_CLASS_NAMES}


def test_a_module_name_stands_for_one_thing() -> None:
    """Two modules share a name only where a reason stands above."""
    named = [(path.stem, path) for path in modules()]
    assert {} == {name: paths for name, paths in homes_of(named).items() if name not in SHARED_MODULE_NAMES}
