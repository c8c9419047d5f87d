"""Which files of the machine ranks can read: the interpreter, its packages, the system's libraries, our rank side.

Folders are named as narrowly as possible: a course may lie next to an interpreter, in the same home or under /usr/src.
"""

import sys
from pathlib import Path

import course_env

SYSTEM = (
    *("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/local/lib64"),
    *("/usr/share/zoneinfo", "/etc/ld.so.cache"),
)
LINKED_INTO_USR = ("/bin", "/lib", "/lib32", "/lib64")
OF_AN_INTERPRETER = ("bin", "lib", "lib64", "pyvenv.cfg")
RANK_SIDE = ("__init__.py", "inside", "protocol")


def paths() -> tuple[Path, ...]:
    """Return the visible files and folders, in order of their paths; none lies inside another."""
    found: list[Path] = []
    for path in sorted({*_system(), *_interpreter(), *_ours()}):
        if path.exists() and not any(path.is_relative_to(outer) for outer in found):
            found.append(path)
    return tuple(found)


def links() -> dict[Path, str]:
    """Return the links at the top of the file system that programs rely on, such as /lib, with their targets."""
    return {path: str(path.readlink()) for path in map(Path, LINKED_INTO_USR) if path.is_symlink()}


def gpu_devices() -> tuple[Path, ...]:
    """Return the device files of the machine's NVIDIA GPUs, of their MIG slices, and of their driver."""
    found = [*Path("/dev").glob("nvidia*"), *Path("/dev").glob("nvidia-caps/*")]
    return tuple(sorted(path for path in found if path.is_char_device()))


def _system() -> set[Path]:
    merged = {path for path in map(Path, LINKED_INTO_USR) if not path.is_symlink()}
    return {*map(Path, SYSTEM), *merged}


def _interpreter() -> set[Path]:
    """Return the files of the virtual environment, and of the installation from which it was made."""
    return {Path(prefix, part) for prefix in (sys.prefix, sys.base_prefix) for part in OF_AN_INTERPRETER}


def _ours() -> set[Path]:
    """Return what a rank imports of this project; if the project is installed, it is already among the packages."""
    harness = Path(__file__).parent.parent
    return {
        Path(course_env.__file__).parent,
        harness.parent / "__init__.py",
        *(harness / part for part in RANK_SIDE),
    }
