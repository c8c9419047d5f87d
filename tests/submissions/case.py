"""The cases of the corpus: what each hands in, and what must become of it."""

import runpy
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one exercise must end."""

    outcome: str
    score: float
    says: tuple[str, ...] = ()
    """Parts of what is told about the exercise, to students or to staff."""

    never: tuple[str, ...] = ()
    """What appears nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A submission and its verdicts."""

    folder: Path
    what: str
    kind: str
    verdicts: Mapping[str, Verdict]
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        return self.folder.name

    def hand_in(self, batch: Path, words: Mapping[str, str]) -> Path:
        """Put the submission into `batch` under the name of the case, and return its place.

        `words` replace their @NAMES@ in its files. A case that cannot lie in a repository as it is has a build.py
        whose `build(place, words)` makes it, and returns the path if that is an archive.
        """
        builder = self.folder / "build.py"
        place = batch / self.folder.name
        if builder.exists():
            return runpy.run_path(str(builder))["build"](place, words) or place
        for suffix in ARCHIVES:
            if (archive := self.folder / f"submission{suffix}").exists():
                return Path(shutil.copy(archive, batch / f"{self.folder.name}{suffix}"))
        shutil.copytree(self.folder / "submission", place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(replaced(path.read_bytes(), words))
        return place


def replaced(content: bytes, words: Mapping[str, str]) -> bytes:
    """Return `content` with each @NAME@ replaced by its word."""
    for name, word in words.items():
        content = content.replace(f"@{name}@".encode(), word.encode())
    return content


def load_cases() -> list[Case]:
    """Return the hostile cases and those of honest work, by name."""
    folders = sorted(path.parent for kind in ("hostile", "honest") for path in (HERE / kind).glob("*/case.toml"))
    return [_load(folder) for folder in folders]


def _load(folder: Path) -> Case:
    told = tomllib.loads((folder / "case.toml").read_text())
    expected: dict[str, Any] = told["expected"]
    left_out = expected.pop("left_out", ())
    return Case(
        folder=folder,
        what=told["what"],
        kind=told["kind"],
        verdicts={exercise: _verdict(**verdict) for exercise, verdict in expected.items()},
        left_out=tuple(left_out),
    )


def _verdict(*, outcome: str, score: float, says: list[str] | None = None, never: list[str] | None = None) -> Verdict:
    return Verdict(outcome=outcome, score=score, says=tuple(says or ()), never=tuple(never or ()))
