"""The lessons of the course as their tests see them: what they say, and what their listings print."""

import functools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RANKS = Path(__file__).with_name("lesson_ranks.py")  # the process that runs listings


BLOCK = "```"
CONTINUES = (BLOCK, "* ", "- ", "|", "$", "![", "1. ")
"""With what a block, a list, a table, a formula or a picture begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A Python block of a lesson: its command, its source, and the output shown after it."""

    command: str
    source: str
    output: str

    @property
    def name(self) -> str:
        """The file name of its script."""
        return self.command.split()[-1]

    @property
    def num_ranks(self) -> int:
        """How many ranks its command starts; plain Python starts one process."""
        match = re.fullmatch(r"torchrun --standalone --nproc-per-node (\d+) \w+\.py|python \w+\.py", self.command)
        assert match is not None, f"The first line of a listing is its command, not {self.command!r}."
        return int(match[1] or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """The text of one chapter and what belongs to it."""

    folder: Path
    text: str

    @property
    def chapter(self) -> str:
        """Its short name, such as ch02."""
        return self.folder.name[:4]

    @property
    def number(self) -> int:
        """The chapter's number."""
        return int(self.folder.name[2:4])

    @property
    def prose(self) -> str:
        """Its text without the blocks of code and output."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.DOTALL | re.MULTILINE)

    @property
    def outputs(self) -> list[str]:
        """Its blocks of text: what programs print, beside listings and alone."""
        return re.findall(r"^```text\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)

    @property
    def paragraphs(self) -> list[str]:
        """Its paragraphs before the sources, but for those that a list, a table, a block or a formula continues."""
        text = re.split(r"^## Sources$", self.text, flags=re.MULTILINE)[0]
        text = re.sub(r"^```.*?^```$", BLOCK, text, flags=re.DOTALL | re.MULTILINE)
        parts = [part.strip() for part in re.split(r"\n\n+|\n(?=#+ )", text)]
        follows = [*parts[1:], ""]
        return [
            part
            for part, after in zip(parts, follows, strict=True)
            if part and not part.startswith(CONTINUES) and part[0] != "#" and not after.startswith(CONTINUES)
        ]

    @property
    def listings(self) -> list[Listing]:
        """Its Python blocks that have a command in their first line, in order."""
        block = re.compile(r"^```python\n# (.*?)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
        return [Listing(command=m[1], source=m[2], output=m[3] or "") for m in block.finditer(self.text)]

    @property
    def exercises(self) -> list[dict[str, Any]]:
        """The exercises of its assignment.toml, in order."""
        return tomllib.loads((self.folder / "assignment.toml").read_text())["exercises"]

    @property
    def pictures(self) -> dict[str, bytes]:
        """The files of its pictures, by name."""
        return read_files(self.folder / "figures")

    @property
    def drawing_script(self) -> Path:
        """The script that draws its pictures."""
        return ROOT / "docs" / "figures" / f"{self.chapter}.py"

    def says(self, words: str, numbers: Iterable[object]) -> None:
        """Assert that the text says `words` with `numbers` in the places left for them."""
        expected = words.format(*numbers)
        assert expected in self.text, f"{self.chapter}'s lesson should say: {expected}"


def read_lessons() -> list[Lesson]:
    """Return the lessons of all chapters that have a text, in order."""
    texts = sorted((ROOT / "assignments").glob("ch[0-9][0-9]_*/README.md"))
    return [Lesson(folder=path.parent, text=path.read_text()) for path in texts]


def read_lesson(number: int) -> Lesson:
    """Return the lesson of one chapter."""
    return next(lesson for lesson in read_lessons() if lesson.number == number)


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the files of a folder by name; none if there is no such folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@functools.cache
def run_listings(lesson: Lesson) -> dict[str, list[dict[str, Any]]]:
    """Run a lesson's listings once; return each rank's exit code, output and errors, by the name of the script."""
    jobs = {listing.name: [listing.source, listing.num_ranks] for listing in lesson.listings}
    # One thread a rank: ranks share the cores, and a process with more than one thread must not fork.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, RANKS]
    done = subprocess.run(command, input=json.dumps(jobs), env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def draw(lesson: Lesson, folder: Path) -> dict[str, bytes]:
    """Draw a lesson's pictures anew into `folder` and return them by name."""
    subprocess.run([sys.executable, lesson.drawing_script, folder], capture_output=True, check=True)
    return read_files(folder)
