"""Three ways to run jobs, behind one interface: in this process, in other processes of this machine, on a cluster.

A job is one call of a function. Its result is not read: what a job has to say, it writes to files of its choice. So no
pickle that a job wrote is ever opened.
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
QUEUE_S = 60.0  # for one answer of the controller, which takes long when it is busy

ENDED = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
        *("PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)


class Phase(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor says of a job."""

    job: str
    """Its id: on a cluster, as `squeue` shows it."""

    phase: Phase
    state: str
    """In the words of the executor or cluster."""

    node: str = ""
    """Where it runs or ran last; empty if that is not known."""


class Executor(Protocol):
    """Runs jobs, and says how far they are."""

    outlives_us: bool
    """Whether jobs go on when the process that submitted them has ended, and another process can find them."""

    def submit(
        self, name: str, calls: Sequence[Call], *, at_once: int | None = None, avoid: Collection[str] = ()
    ) -> None:
        """Start a job for each call; `name` is the name of all of them.

        On a cluster at most `at_once` of them run at a time, and none on the nodes to `avoid`.
        Raises: ExecutorError if the cluster does not take them.
        """

    def statuses(self, name: str) -> dict[int, JobStatus]:
        """Return what is known of the jobs of a name, by the index of their call; it may be some seconds old.

        A job that is missing has ended, and is forgotten.
        Raises: ExecutorError if the cluster does not answer at the moment.
        """

    def cancel(self, name: str) -> None:
        """End the jobs of a name, whether they have begun or not."""

    def close(self) -> None:
        """Wait until the processes of this machine have ended; call it when the jobs have done their work."""


ON_THIS_MACHINE = ("local", "debug")


def executor_on(name: str, folder: Path, *, spread: bool = False) -> tuple[Executor, Profile]:
    """Return the executor that `--on name` means, `local`, `debug` or a cluster by its profile, and that profile.

    Raises: UsageError for a profile that does not exist; ExecutorError where there is no Slurm.
    """
    if name in ON_THIS_MACHINE:
        return make_executor(name, THIS_MACHINE, folder, spread=spread), THIS_MACHINE
    profile = load_profile(name)
    return make_executor("slurm", profile, folder, spread=spread), profile


def wait_for_end(executor: Executor, name: str, patience_s: float) -> None:
    """Return when the jobs of a name have ended and write no more files, or after `patience_s` seconds."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        with contextlib.suppress(ExecutorError):
            if all(status.phase is Phase.ENDED for status in executor.statuses(name).values()):
                return
        time.sleep(POLL_S)


def make_executor(kind: str, profile: Profile, folder: Path, *, spread: bool = False) -> Executor:
    """Return the executor `debug`, `local` or `slurm`; its logs go to `folder`.

    With `spread`, a job has all the tasks of the profile, and makes its call in each of them; otherwise it has one. A job
    of `debug` always has one.
    """
    if kind == "debug":
        return DebugExecutor(folder)
    if kind == "local":
        return LocalExecutor(profile, folder, spread=spread)
    return SlurmExecutor(profile, folder, spread=spread)


class DebugExecutor:
    """Runs every call at once, in this process: for a debugger."""

    outlives_us = False

    def __init__(self, folder: Path) -> None:
        self._executor = submitit.AutoExecutor(folder=folder, cluster="debug")
        self._statuses: dict[str, dict[int, JobStatus]] = {}

    def submit(
        self,
        name: str,
        calls: Sequence[Call],
        *,
        at_once: int | None = None,  # noqa: ARG002 - one at a time
        avoid: Collection[str] = (),  # noqa: ARG002 - there is only this machine
    ) -> None:
        """Run the calls one after the other; an error ends only the call that raises it."""
        statuses = self._statuses[name] = {}
        for index, call in enumerate(calls):
            error = self._executor.submit(call).exception()
            state = "COMPLETED" if error is None else f"FAILED: {type(error).__name__}: {error}"
            statuses[index] = JobStatus(job=f"{name}-{index}", phase=Phase.ENDED, state=state)

    def statuses(self, name: str) -> dict[int, JobStatus]:
        """Return how the calls ended."""
        return self._statuses.get(name, {})

    def cancel(self, name: str) -> None:
        """Do nothing: whatever was submitted has ended."""

    def close(self) -> None:
        """Do nothing: no process was started."""


class LocalExecutor:
    """Runs every call in a separate process of this machine, all at once."""

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
        at_once: int | None = None,  # noqa: ARG002 - callers send no more than this machine can do
        avoid: Collection[str] = (),  # noqa: ARG002 - there is only this machine
    ) -> None:
        """Start the processes."""
        # A shell has its background processes ignore Ctrl-C, and their children would inherit that.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._jobs[name] = [self._executor.submit(call) for call in calls]

    def statuses(self, name: str) -> dict[int, JobStatus]:
        """Return how far the processes are that this object started."""
        return {index: self._status(job) for index, job in enumerate(self._jobs.get(name, []))}

    def _status(self, job: "submitit.Job[Any]") -> JobStatus:
        phase = Phase.ENDED if job.done() else Phase.RUNNING
        return JobStatus(job=job.job_id, phase=phase, state=job.state)

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

    Any process can find jobs again by their name, at any time, so nothing has to be remembered.
    """

    outlives_us = True

    def __init__(self, profile: Profile, folder: Path, *, spread: bool = False) -> None:
        self._queue_every_s = profile.queue_every_s
        # By the name of jobs: when the controller was last asked about them, and what it said.
        self._answers: dict[str, tuple[float, dict[int, JobStatus]]] = {}
        self._folder = folder
        self._python = profile.python or None
        self._parameters = _parameters(profile, spread=spread)
        self._new_submitit()  # complains where there is no Slurm

    def _new_submitit(self, **more: Any) -> submitit.AutoExecutor:
        """Return a submitit executor with these parameters: a new one, because an old one keeps those it was given."""
        try:
            executor = submitit.AutoExecutor(folder=self._folder / "%j", cluster="slurm", slurm_python=self._python)
        except RuntimeError:
            raise ExecutorError(
                "There is no Slurm here: `srun` is not in PATH. Log in to the cluster, or try the development "
                "cluster: python -m slurm.dev_cluster up; then repeat the command after: python -m slurm.dev_cluster run"
            ) from None
        executor.update_parameters(**self._parameters, **more)
        return executor

    def submit(
        self, name: str, calls: Sequence[Call], *, at_once: int | None = None, avoid: Collection[str] = ()
    ) -> None:
        """Send the calls as one array, or a single call as a plain job."""
        excluded = {"slurm_exclude": ",".join(sorted(avoid))} if avoid else {}
        executor = self._new_submitit(name=name, slurm_array_parallelism=at_once or len(calls), **excluded)
        try:
            with _outside_of_any_job(), executor.batch():
                for call in calls:
                    executor.submit(call)
        except submitit.core.utils.FailedJobError as error:
            raise ExecutorError(f"Slurm did not take the jobs: {error}") from None
        self._answers.pop(name, None)

    def statuses(self, name: str) -> dict[int, JobStatus]:
        """Ask the controller, but not all the time, because it serves everybody on the cluster."""
        asked_at, statuses = self._answers.get(name, (-self._queue_every_s, {}))
        if time.monotonic() - asked_at < self._queue_every_s:
            return statuses
        command = ("squeue", "--noheader", "--array", "--states=all", f"--name={name}", "--format=%K|%i|%T|%N|%r")
        statuses = read_queue(_run(*command))
        self._answers[name] = (time.monotonic(), statuses)
        return statuses

    def cancel(self, name: str) -> None:
        """Have the controller cancel the jobs."""
        _run("scancel", f"--name={name}")

    def close(self) -> None:
        """Do nothing: the jobs are no processes of this machine."""


@contextlib.contextmanager
def _outside_of_any_job() -> Iterator[None]:
    """Hide the variables that describe the job of this process from sbatch, which would pass them on to the new job."""
    prefixes = ("SLURM_", "SLURMD_", "SUBMITIT_")
    hidden = {name: value for name, value in os.environ.items() if name.startswith(prefixes) and name != "SLURM_CONF"}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def read_queue(output: str) -> dict[int, JobStatus]:
    """Return statuses by index in the array, from lines of `index|id|state|node|reason`.

    A plain job has no index, and counts as index 0. The jobs of an array that were cancelled before they began share a line
    without an index; it must not hide what is known of a job that had begun.
    """
    lines = [line.split("|", 4) for line in output.splitlines()]
    return {
        int(index) if index.isdecimal() else 0: _status(job, state, node, reason)
        for index, job, state, node, reason in sorted(lines, key=lambda line: line[0].isdecimal())
    }


def _status(job: str, state: str, node: str, reason: str) -> JobStatus:
    phase = Phase.ENDED if state in ENDED else Phase.RUNNING if state in {"RUNNING", "COMPLETING"} else Phase.WAITING
    return JobStatus(job=job, phase=phase, state=state if reason in {"None", ""} else f"{state} ({reason})", node=node)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=QUEUE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExecutorError(f"Slurm does not answer: {error}.") from None
    if done.returncode:
        raise ExecutorError(f"Slurm does not answer: `{' '.join(command)}`: {done.stderr.strip()}.")
    return done.stdout


def _parameters(profile: Profile, *, spread: bool) -> dict[str, Any]:
    """Return submitit's parameters for jobs of one task, or, with `spread`, of all the tasks of the profile."""
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
