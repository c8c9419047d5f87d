"""Places where jobs run, behind one interface: in this process, in others of this machine, on a cluster.

A job is one call of a function, whose result nobody reads: what a job has to say, it writes to files of its own. So no
pickle that a job has written is ever opened.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import msgspec
import submitit

from course_env.errors import ExecutorError
from slurm.profile import THIS_MACHINE, Profile, load_profile

Call = Callable[[], None]
"""What a job does. It travels by name, so the job must be able to import it."""

SIGNAL_BEFORE_END_S = 30
POLL_S = 0.2
QUEUE_S = 60.0  # for one answer of the controller; busy ones take long

ENDED = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
        *("PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)


class Phase(StrEnum):
    """What has become of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A job that the place knows.

    job: its id there
    state: how the place itself calls it
    node: where it is, or was last, if the place says
    """

    job: str
    phase: Phase
    state: str
    node: str = ""


class Executor(Protocol):
    """A place where jobs run.

    outlives_us: whether jobs go on when the process that submitted them has ended, and another one can find them
    """

    outlives_us: bool

    def submit(
        self, name: str, calls: Sequence[Call], *, at_once: int | None = None, avoid: Collection[str] = ()
    ) -> None:
        """Start a job for each call; `name` stands for all of them.

        Not more of them than `at_once` run at a time, and none on the nodes to `avoid`, where the place can see to it.
        Raises: ExecutorError if the place does not take them.
        """

    def statuses(self, name: str) -> dict[int, Status]:
        """Return what is known of the jobs of a name, by their place in the calls; it may be some seconds old.

        A job that is not in it has ended, and is forgotten.
        Raises: ExecutorError if the place does not answer, for now.
        """

    def cancel(self, name: str) -> None:
        """End the jobs of a name, begun or not."""

    def close(self) -> None:
        """Wait for processes of this machine, once all that jobs had to do is done."""


ON_THIS_MACHINE = ("local", "debug")


def executor_on(name: str, folder: Path, *, spread: bool = False) -> tuple[Executor, Profile]:
    """Return where `--on name` sends jobs, `local`, `debug` or a cluster by its profile, and what is known of that place.

    Raises: UsageError for a profile that does not exist; ExecutorError where there is no Slurm.
    """
    if name in ON_THIS_MACHINE:
        return make_executor(name, THIS_MACHINE, folder, spread=spread), THIS_MACHINE
    profile = load_profile(name)
    return make_executor("slurm", profile, folder, spread=spread), profile


def wait_for_end(executor: Executor, name: str, patience_s: float) -> None:
    """Return when no job of a name writes to its files any more, or after this many seconds."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        with contextlib.suppress(ExecutorError):
            if all(status.phase is Phase.ENDED for status in executor.statuses(name).values()):
                return
        time.sleep(POLL_S)


def make_executor(where: str, profile: Profile, folder: Path, *, spread: bool = False) -> Executor:
    """Return the executor `debug`, `local` or `slurm`; its logs go to `folder`.

    With `spread`, a job's call is made in every task that the profile gives to a job, not in a single one; a job of
    `debug` is always a single task.
    """
    if where == "debug":
        return DebugExecutor(folder)
    if where == "local":
        return LocalExecutor(profile, folder, spread=spread)
    return SlurmExecutor(profile, folder, spread=spread)


class DebugExecutor:
    """Runs every call at once, in this process: for a debugger."""

    outlives_us = False

    def __init__(self, folder: Path) -> None:
        self._executor = submitit.AutoExecutor(folder=folder, cluster="debug")
        self._statuses: dict[str, dict[int, Status]] = {}

    def submit(
        self,
        name: str,
        calls: Sequence[Call],
        *,
        at_once: int | None = None,  # noqa: ARG002 - one at a time
        avoid: Collection[str] = (),  # noqa: ARG002 - there is only this machine
    ) -> None:
        """Run the calls, one after the other; an error ends its own call only."""
        known = self._statuses[name] = {}
        for number, call in enumerate(calls):
            error = self._executor.submit(call).exception()
            state = "COMPLETED" if error is None else f"FAILED: {type(error).__name__}: {error}"
            known[number] = Status(job=f"{name}-{number}", phase=Phase.ENDED, state=state)

    def statuses(self, name: str) -> dict[int, Status]:
        """Return how the calls ended."""
        return self._statuses.get(name, {})

    def cancel(self, name: str) -> None:
        """Do nothing: whatever was submitted has ended."""

    def close(self) -> None:
        """Do nothing: no process was started."""


class LocalExecutor:
    """Runs every call in a process of its own, on this machine, all at once."""

    outlives_us = False

    def __init__(self, profile: Profile, folder: Path, *, spread: bool = False) -> None:
        self._executor = submitit.AutoExecutor(folder=folder / "%j", cluster="local")
        self._executor.update_parameters(
            tasks_per_node=profile.nodes * profile.tasks_per_node if spread else 1,
            timeout_min=profile.minutes,
            local_setup=list(profile.setup) or None,
        )
        self._jobs: dict[str, list[submitit.Job[Any]]] = {}

    def submit(
        self,
        name: str,
        calls: Sequence[Call],
        *,
        at_once: int | None = None,  # noqa: ARG002 - whoever calls sends no more than this machine can do
        avoid: Collection[str] = (),  # noqa: ARG002 - there is only this machine
    ) -> None:
        """Start the processes."""
        # A shell ignores Ctrl-C for what it starts in the background, and so would all that is started from there.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._jobs[name] = [self._executor.submit(call) for call in calls]

    def statuses(self, name: str) -> dict[int, Status]:
        """Return what has become of the processes that this very object started."""
        return {number: self._status(job) for number, job in enumerate(self._jobs.get(name, []))}

    def _status(self, job: "submitit.Job[Any]") -> Status:
        phase = Phase.ENDED if job.done() else Phase.RUNNING
        return Status(job=job.job_id, phase=phase, state=job.state)

    def cancel(self, name: str) -> None:
        """Interrupt the processes."""
        for job in self._jobs.get(name, []):
            job.cancel()

    def close(self) -> None:
        """Wait until the processes have ended."""
        for jobs in self._jobs.values():
            for job in jobs:
                job.wait()


class SlurmExecutor:
    """Runs calls as one job array of a cluster.

    Jobs are found again by their name, by any process and at any time: nothing has to be remembered.
    """

    outlives_us = True

    def __init__(self, profile: Profile, folder: Path, *, spread: bool = False) -> None:
        self._queue_every_s = profile.queue_every_s
        self._known: dict[str, tuple[float, dict[int, Status]]] = {}
        self._folder = folder
        self._python = profile.python or None
        self._given = _parameters(profile, spread=spread)
        self._new_submitit()  # complains where there is no Slurm

    def _new_submitit(self, **more: Any) -> submitit.AutoExecutor:
        """Return what sends jobs with these parameters; a new one, because submitit forgets none that it was given."""
        try:
            made = submitit.AutoExecutor(folder=self._folder / "%j", cluster="slurm", slurm_python=self._python)
        except RuntimeError:
            raise ExecutorError(
                "There is no Slurm here: `srun` is not in PATH. Log in to the cluster, or try the development "
                "cluster: python -m slurm.dev_cluster up; then repeat the command after: python -m slurm.dev_cluster run"
            ) from None
        made.update_parameters(**self._given, **more)
        return made

    def submit(
        self, name: str, calls: Sequence[Call], *, at_once: int | None = None, avoid: Collection[str] = ()
    ) -> None:
        """Send the calls as one array; a single one as a job without one."""
        excluded = {"slurm_exclude": ",".join(sorted(avoid))} if avoid else {}
        sender = self._new_submitit(name=name, slurm_array_parallelism=at_once or len(calls), **excluded)
        try:
            with _outside_of_any_job(), sender.batch():
                for call in calls:
                    sender.submit(call)
        except submitit.core.utils.FailedJobError as error:
            raise ExecutorError(f"Slurm did not take the jobs: {error}") from None
        self._known.pop(name, None)

    def statuses(self, name: str) -> dict[int, Status]:
        """Ask the controller, but not all the time: it serves everybody on the cluster."""
        asked_at, known = self._known.get(name, (-self._queue_every_s, {}))
        if time.monotonic() - asked_at < self._queue_every_s:
            return known
        told = _run("squeue", "--noheader", "--array", "--states=all", f"--name={name}", "--format=%K|%i|%T|%N|%r")
        known = read_queue(told)
        self._known[name] = (time.monotonic(), known)
        return known

    def cancel(self, name: str) -> None:
        """Tell the controller."""
        _run("scancel", f"--name={name}")

    def close(self) -> None:
        """Do nothing: jobs end where they are."""


@contextlib.contextmanager
def _outside_of_any_job() -> Iterator[None]:
    """Hide from sbatch, and so from the new job, what Slurm has told this process of the job that it is in."""
    told = ("SLURM_", "SLURMD_", "SUBMITIT_")
    hidden = {name: value for name, value in os.environ.items() if name.startswith(told) and name != "SLURM_CONF"}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def read_queue(told: str) -> dict[int, Status]:
    """Return statuses by place in the array, from lines of `index|id|state|node|reason`.

    A job outside an array has no index, and place 0. Neither has the rest of an array that was cancelled before it began:
    it must not hide what is known of those that had begun.
    """
    lines = [line.split("|", 4) for line in told.splitlines()]
    return {
        int(index) if index.isdecimal() else 0: _status(job, state, node, reason)
        for index, job, state, node, reason in sorted(lines, key=lambda line: line[0].isdecimal())
    }


def _status(job: str, state: str, node: str, reason: str) -> Status:
    phase = Phase.ENDED if state in ENDED else Phase.RUNNING if state in {"RUNNING", "COMPLETING"} else Phase.WAITING
    return Status(job=job, phase=phase, state=state if reason in {"None", ""} else f"{state} ({reason})", node=node)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=QUEUE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExecutorError(f"Slurm does not answer: {error}.") from None
    if done.returncode:
        raise ExecutorError(f"Slurm does not answer: `{' '.join(command)}`: {done.stderr.strip()}.")
    return done.stdout


def _parameters(profile: Profile, *, spread: bool) -> dict[str, Any]:
    """Return what submitit is told of a job of one task, or of all that the profile gives to a job."""
    return {
        "nodes": profile.nodes if spread else 1,
        "tasks_per_node": profile.tasks_per_node if spread else 1,
        "cpus_per_task": profile.cpus_per_task,
        "timeout_min": profile.minutes,
        "stderr_to_stdout": True,
        "slurm_partition": profile.partition or None,
        "slurm_account": profile.account or None,
        "slurm_qos": profile.qos or None,
        "slurm_comment": profile.comment or None,
        "slurm_gres": (profile.gres if spread else profile.gres_of_one_task) or None,
        "slurm_setup": list(profile.setup) or None,
        "slurm_signal_delay_s": SIGNAL_BEFORE_END_S,
        "slurm_srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={profile.cpus_per_task}"],
        "slurm_additional_parameters": dict(profile.sbatch) or None,
    }
