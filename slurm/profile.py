"""A profile: what a cluster wants to be told with every job, as one TOML file in `slurm/profiles/`."""

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from course_env.errors import UsageError, did_you_mean

PROFILES = Path(__file__).parent / "profiles"
LEAST_MINUTES = 5
"""submitit has a job signalled half a minute before its limit, and Slurm does so up to a minute early: the rest is for work."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How jobs are sent to one cluster. Empty text: the option is not given, so the cluster's default holds."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    comment: str = ""
    gres: str = ""
    """Of each node of a job whose ranks are spread over all its tasks, like `gpu:4`."""

    gres_of_one_task: str = ""
    """Of every other job: a class is graded by many, each with one task on one node."""

    nodes: int = 1
    """Of a job whose ranks are spread over nodes; other jobs take one."""

    tasks_per_node: int = 1
    cpus_per_task: int = 2
    minutes: int = 60
    """Time limit of a job."""

    worthwhile_minutes: float = 5.0
    """What a job should have to do, at least, to be worth its wait in the queue."""

    setup: tuple[str, ...] = ()
    """Lines of shell before the job's own work: modules, conda."""

    python: str = ""
    """The interpreter on the nodes; empty: the one that sends the job."""

    folder: str = ""
    """Every node sees this folder, and what jobs read and write must lie in it; `~` and `$USER` are understood.

    Empty: all nodes see everything."""

    settle_s: float = 70.0
    """How long what was written on a node may take to be seen elsewhere: with NFS, a minute."""

    queue_every_s: float = 5.0
    """How often the controller is asked what has become of jobs, at most."""

    sbatch: dict[str, str | int | bool] = {}
    """Further options of sbatch, by their long name."""

    def __post_init__(self) -> None:
        """Refuse what no cluster can do."""
        for name, least in (("nodes", 1), ("tasks_per_node", 1), ("cpus_per_task", 1), ("minutes", LEAST_MINUTES)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, and must be at least {least}")

    @property
    def shared_folder(self) -> Path | None:
        """The folder that all nodes see, if not everything is."""
        return Path(os.path.expandvars(self.folder)).expanduser() if self.folder else None


THIS_MACHINE = Profile(tasks_per_node=2, cpus_per_task=1, worthwhile_minutes=0.5, settle_s=0.0)
"""Of the executors that need no cluster."""


def known_profiles() -> list[str]:
    """Return the names that `load_profile` takes."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """Return the profile of that name, or that is written in that file, if it ends in `.toml`.

    Raises: UsageError if there is none, or it cannot be used.
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

    Raises: ValueError, in one sentence without a full stop, if it describes none.
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
