"""Landlock: limits the files, signals and abstract sockets that this process, and all that it starts, can reach.

For machines that offer no user namespaces. It needs no privilege and cannot be undone; it needs version 6 of the
kernel's interface (Linux 6.12). It can neither hide the network nor give each launch a separate one.
"""

import os
import stat
import struct
from collections.abc import Mapping
from pathlib import Path

from grader.harness.inside.linux import (
    LANDLOCK_ADD_RULE,
    LANDLOCK_CREATE_RULESET,
    LANDLOCK_RESTRICT_SELF,
    PR_SET_NO_NEW_PRIVS,
    prctl,
    syscall,
)

CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
REMOVE_FILE = 1 << 5
MAKE_FILE = 1 << 8
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
SHARE = READ_FILE | WRITE_FILE | TRUNCATE | MAKE_FILE | REMOVE_FILE  # files whose names one knows; no listing
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

ALL_RIGHTS = (1 << 16) - 1  # on files, of all versions from 5 on
FIRST_WITH_SCOPES = 6  # the first version that can confine signals and abstract sockets
SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3
RULESET = "QQQ"  # rights on files, rights on the network, scopes


def version() -> int:
    """Return the version of the kernel's interface.

    Raises: OSError if the kernel has no Landlock, or has it switched off.
    """
    return syscall("landlock", LANDLOCK_CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)


def make_ruleset(rights: Mapping[Path, int]) -> int:
    """Return the descriptor of a set of rules: what a process that enters it may do with these files, and below these folders.

    Raises: OSError if the kernel is too old to confine signals, or if a path does not exist.
    """
    known = version()
    if known < FIRST_WITH_SCOPES:
        raise OSError(
            f"Landlock has version {known} in this kernel; it can confine signals from version {FIRST_WITH_SCOPES} on."
        )
    attributes = struct.pack(RULESET, ALL_RIGHTS, 0, SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = syscall("landlock_create_ruleset", LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    for path, allowed in rights.items():
        _allow(ruleset, path, allowed)
    return ruleset


def enter(ruleset: int) -> None:
    """Confine this process, and all that it starts, for good."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall("landlock_restrict_self", LANDLOCK_RESTRICT_SELF, ruleset, 0)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= ON_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        syscall("landlock_add_rule", LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
