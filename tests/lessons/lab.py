"""A chapter's lab, run as a student runs it."""

import re
import subprocess
import sys
from pathlib import Path


def run_lab(script: Path, folder: Path, *options: object, timeout_s: float) -> str:
    """Run a lab's script in `folder` until it has ended well; return what it printed."""
    command = [sys.executable, str(script), *map(str, options)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cells_of(line: str) -> list[str]:
    """Return the cells of a line of a table; two blanks or more lie between them."""
    return re.split(r" {2,}", line.strip())
