"""What of the machine's files ranks can read: the interpreter, its packages, the system's libraries, our rank side.

Folders are named as narrowly as they can be: a course may lie beside an interpreter, in the same home or under /usr/src.
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
    """Return files and folders that are visible, each at its own place, none inside another, outermost first."""
    found: list[Path] = []
    for path in sorted({*_system(), *_interpreter(), *_ours()}):
        if path.exists() and not any(path.is_relative_to(outer) for outer in found):
            found.append(path)
    return tuple(found)


def links() -> dict[Path, str]:
    """Return the links at the top of the file system that programs go by, with what they point to."""
    return {path: str(path.readlink()) for path in map(Path, LINKED_INTO_USR) if path.is_symlink()}


def gpu_devices() -> tuple[Path, ...]:
    """Return the device files of the machine's NVIDIA GPUs and their driver, those of MIG slices among them."""
    found = [*Path("/dev").glob("nvidia*"), *Path("/dev").glob("nvidia-caps/*")]
    return tuple(sorted(path for path in found if path.is_char_device()))


def _system() -> set[Path]:
    merged = {path for path in map(Path, LINKED_INTO_USR) if not path.is_symlink()}
    return {*map(Path, SYSTEM), *merged}


def _interpreter() -> set[Path]:
    """Return the virtual environment, and the installation that it was made from."""
    return {Path(prefix, part) for prefix in (sys.prefix, sys.base_prefix) for part in OF_AN_INTERPRETER}


def _ours() -> set[Path]:
    """Return what a rank imports of this project; from an installed copy it lies among the packages already."""
    harness = Path(__file__).parent.parent
    return {
        Path(course_env.__file__).parent,
        harness.parent / "__init__.py",
        *(harness / part for part in RANK_SIDE),
    }
