"""`course check --on`: send a job that checks the exercises, and wait for what it finds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from course_env.errors import LaunchError
from grader.cluster.check_job import Checked, CheckFailed, CheckPlan, CheckProgress, run_check
from grader.cluster.one_job import sent, wait_for
from grader.harness.protocol.files import make_key, write_whole
from slurm.executors import Executor
from slurm.profile import Profile


@contextmanager
def check_on(
    executor: Executor,
    profile: Profile,
    folder: Path,
    plan: CheckPlan,
    tell: Callable[[CheckProgress], None],
) -> Iterator[Checked]:
    """Send the job, wait for it, and give what it found; with the end of the block, job and files are gone.

    Raises: ExecutorError if the job is not taken, or ends without an answer; LaunchError if it found nothing.
    """
    write_whole(folder / "plan.json", msgspec.json.encode(plan))
    make_key(folder)  # tasks wait for it, so it comes last
    with sent(executor, "check", partial(run_check, str(folder)), folder) as name:
        outcome = wait_for(
            lambda: _read(folder / "outcome.json", Checked | CheckFailed),
            executor,
            name,
            profile=profile,
            folder=folder,
            tell=lambda state: tell(_read(folder / "progress.json", CheckProgress) or CheckProgress(state=state)),
        )
        if isinstance(outcome, CheckFailed):
            raise LaunchError(outcome.reason)
        yield outcome


def _read(path: Path, kind: Any) -> Any:
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None
