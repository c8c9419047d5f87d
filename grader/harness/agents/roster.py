"""The folder by which the tasks of an allocation find each other: a secret, and where each agent listens.

key                made by the command that sends the job; only this user can read it
agents/0-1.json    written by the agent of task 1 when it listens, in the job's first run; 1-1.json: after one requeue
crew.json          written by task 0 for its judges, when every agent listens
"""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from course_env.devices import Gpu
from course_env.errors import LaunchError
from grader.harness.protocol.files import KEY_BYTES, write_whole

POLL_S = 0.05


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    task: int
    """Its task in the job."""

    node: str
    """The name of its machine."""

    host: str
    port: int
    """Where it listens."""

    gpus: tuple[Gpu, ...] = ()
    """The GPUs that its ranks can use."""


def read_key(folder: Path) -> bytes:
    """Return the secret of the job.

    Raises: LaunchError if it is missing or incomplete.
    """
    try:
        key = (folder / "key").read_bytes()
    except OSError as error:
        raise LaunchError(f"The secret of the job cannot be read: {error}.") from None
    if len(key) != KEY_BYTES:
        raise LaunchError(f"{folder / 'key'} has {len(key)} bytes instead of {KEY_BYTES}. Send the job again.")
    return key


def wait_for_key(folder: Path, patience_s: float) -> bytes:
    """Return the secret of the job as soon as the shared folder shows it.

    Raises: what `read_key` raises.
    """
    end = time.monotonic() + patience_s
    while True:
        try:
            return read_key(folder)
        except LaunchError:
            if time.monotonic() >= end:
                raise
        time.sleep(POLL_S)


def enter(folder: Path, run: int, member: Member) -> None:
    """Write down where an agent listens in this run of the job."""
    path = folder / "agents" / f"{run}-{member.task}.json"
    write_whole(path, msgspec.json.encode(member))


def read_members(folder: Path, run: int) -> tuple[Member, ...]:
    """Return the agents of a run that have been written down so far, in the order of their tasks."""
    files = (folder / "agents").glob(f"{run}-*.json")
    members = (msgspec.json.decode(file.read_bytes(), type=Member) for file in files)
    return tuple(sorted(members, key=lambda member: member.task))


def write_crew(folder: Path, members: Sequence[Member]) -> None:
    """Write down all agents of the job, for its judges."""
    write_whole(folder / "crew.json", msgspec.json.encode(members))


def read_crew(folder: Path) -> tuple[Member, ...]:
    """Return the agents of all tasks.

    Raises: LaunchError if they have not been written down.
    """
    try:
        return msgspec.json.decode((folder / "crew.json").read_bytes(), type=tuple[Member, ...])
    except (OSError, msgspec.MsgspecError) as error:
        raise LaunchError(f"The agents of the job are not known: {error}.") from None


def wait_for_members(folder: Path, run: int, num_tasks: int, patience_s: float) -> tuple[Member, ...]:
    """Return the agents of all tasks of the job as soon as they listen.

    Raises: LaunchError that names the tasks whose agents do not listen in time.
    """
    end = time.monotonic() + patience_s
    while len(members := read_members(folder, run)) < num_tasks:
        if time.monotonic() >= end:
            missing = sorted(set(range(num_tasks)) - {member.task for member in members})
            raise LaunchError(
                f"The agents of tasks {missing} of the job have not shown up in {folder} within {patience_s:g} s. "
                "Does every node see that folder? `course doctor --profile NAME` tells."
            )
        time.sleep(POLL_S)
    return members
