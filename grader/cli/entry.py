"""Where the commands `course` and `grade` begin: under settings of Python that are ours, whatever the shell has set.

Nothing else is imported before that, so that no module comes from a folder on PYTHONPATH.
"""

import os
import sys
from importlib import import_module

NOT_OURS = ("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONDEVMODE")
"""Variables that change what our code does: without assertions, or with a warning as an error."""


def course() -> int:
    """Run `course` with the arguments of this process; return its exit code."""
    return _run("course")


def grade() -> int:
    """Run `grade` with the arguments of this process; return its exit code."""
    return _run("grade")


def _run(command: str) -> int:
    _put_last(os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONSAFEPATH"] = "1"  # for jobs, which start in the course's folder: a random.py may lie there
    terminal = import_module("grader.cli.terminal")
    terminal.open_standard_streams()
    if not _is_plain_python():
        _start_again(f"grader.cli.{command}")
    return int(terminal.to_its_end(lambda: import_module(f"grader.cli.{command}.__main__").main()))


def _is_plain_python() -> bool:
    """Whether assertions hold, warnings are warnings, and the names of files are read as UTF-8."""
    flags = sys.flags
    changed = flags.optimize or flags.inspect or flags.dev_mode or sys.warnoptions
    return not changed and sys.getfilesystemencoding() == "utf-8"


def _start_again(module: str) -> None:
    """Become the same command under plain Python; what the terminal can show stays as it is."""
    settings = {"PYTHONUTF8": "1", "PYTHONIOENCODING": sys.stdout.encoding}
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    os.execve(sys.executable, [sys.executable, "-P", "-m", module, *sys.argv[1:]], {**kept, **settings})  # noqa: S606 - no shell is needed


def _put_last(folders: str) -> None:
    """Look into the folders on PYTHONPATH last: what stands there must not take the place of a module that we import."""
    named = {os.path.abspath(folder) for folder in folders.split(os.pathsep) if folder}  # noqa: PTH100 - as sys.path does
    sys.path.sort(key=named.__contains__)
