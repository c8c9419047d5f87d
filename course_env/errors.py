"""Every error of the course, one class for each person who must act.

CourseError
├── UsageError        the person at the keyboard: a name or an option is wrong
├── CatalogError      the course's author: the course itself is broken
├── LaunchError       the operator: ranks could not be started, or the sandbox died (not the student's fault)
└── ExecutorError     the operator: the executor that runs work items failed; try again

A message says what is wrong with its value, where, and what to type next.
"""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the commands `course` and `grade` return."""

    ALL_PASSED = 0
    SOME_FAILED = 1
    USAGE = 2
    COURSE_BROKEN = 3
    INFRASTRUCTURE = 4
    INTERRUPTED = 130
    """What shells report for Ctrl-C."""


class CourseError(Exception):
    """Base of all errors this project raises on purpose; `exit_code` is what the commands return for it."""

    exit_code = ExitCode.INFRASTRUCTURE


class UsageError(CourseError):
    """A command was given something that does not exist or does not fit."""

    exit_code = ExitCode.USAGE


class CatalogError(CourseError):
    """An assignment.toml, stub, test or mutant of the course contradicts another part of it."""

    exit_code = ExitCode.COURSE_BROKEN


class LaunchError(CourseError):
    """Ranks could not be launched, through no fault of the code under test."""


class ExecutorError(CourseError):
    """The executor that runs work items failed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the sentence that lists `known` and, where one is close to `name`, suggests it; another if there is none."""
    choices = sorted(known)
    if not choices:
        return "There is none."
    close = difflib.get_close_matches(name, choices, n=1)
    suggestion = f" Did you mean '{close[0]}'?" if close else ""
    return f"Known: {', '.join(choices)}.{suggestion}"
