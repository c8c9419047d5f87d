"""A profile: the options that a cluster needs with every job, as one TOML file in `slurm/profiles/`."""

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from course_env.errors import UsageError, did_you_mean

PROFILES = Path(__file__).parent / "profiles"
LEAST_MINUTES = 5
"""A job is signalled half a minute before its limit, and Slurm may do so a minute early; the rest is for work."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How jobs are sent to one cluster. An option that is empty is not given, so the cluster's default holds."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    comment: str = ""
    gres: str = ""
    """Of each node, for jobs whose ranks are spread over all tasks, like `gpu:4`."""

    gres_of_one_task: str = ""
    """Of all other jobs: a class is graded by many jobs, each with one task on one node."""

    nodes: int = 1
    """Of a job whose ranks are spread over nodes; other jobs have one."""

    tasks_per_node: int = 1
    cpus_per_task: int = 2
    minutes: int = 60
    """Time limit of a job."""

    worthwhile_minutes: float = 5.0
    """How much work a job should have, at least, to be worth its wait in the queue."""

    setup: tuple[str, ...] = ()
    """Lines of shell that a job runs before its work: modules, conda."""

    python: str = ""
    """The interpreter on the nodes; empty: the one that sends the job."""

    folder: str = ""
    """The folder that every node sees; what jobs read and write must lie in it. `~` and `$USER` are replaced.

    Empty: all nodes see everything."""

    settle_s: float = 70.0
    """How long it may take until a file that a node wrote is visible elsewhere: with NFS, a minute."""

    queue_every_s: float = 5.0
    """How many seconds pass, at least, between two questions to the controller."""

    sbatch: dict[str, str | int | bool] = {}
    """Further options of sbatch, by their long name."""

    def __post_init__(self) -> None:
        """Refuse what no cluster can do."""
        for name, least in (("nodes", 1), ("tasks_per_node", 1), ("cpus_per_task", 1), ("minutes", LEAST_MINUTES)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, and must be at least {least}")

    @property
    def shared_folder(self) -> Path | None:
        """The folder that all nodes see, or None if they see everything."""
        return Path(os.path.expandvars(self.folder)).expanduser() if self.folder else None


THIS_MACHINE = Profile(tasks_per_node=2, cpus_per_task=1, worthwhile_minutes=0.5, settle_s=0.0)
"""What holds for the executors that need no cluster."""


def known_profiles() -> list[str]:
    """Return the names that `load_profile` takes."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """Return the profile of that name, or, if the name ends in `.toml`, the one in that file.

    Raises: UsageError if there is no such profile, or it cannot be used.
    """
    path = Path(name) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    if not path.is_file():
        raise UsageError(f"There is no profile '{name}'. {did_you_mean(name, known_profiles())} Or give a .toml file.")
    try:
        return parse_profile(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path}: {error}.") from None


def parse_profile(text: str) -> Profile:
    """Return the profile that `text` describes.

    Raises: ValueError if it describes none; the message is a sentence without a full stop.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is no TOML: {error}") from None
    fields = Profile.__struct_fields__
    for key in values:
        if key not in fields:
            raise ValueError(f"unknown key '{key}'. {did_you_mean(key, fields)}".removesuffix("."))
    try:
        return msgspec.convert(values, Profile)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace(" - at `$.", ", in `")) from None
