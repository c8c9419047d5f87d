"""A job that answers one question by files in a folder, as `course check --on` and `course doctor --profile` send it."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from course_env.errors import CourseError, ExecutorError
from grader.harness.protocol.files import remove_tree
from slurm.executors import Call, Executor, Phase, wait_for_end
from slurm.profile import Profile

POLL_S = 0.5
END_S = 15.0  # for a job that has answered to end
TAIL_LINES = 30

Answer = TypeVar("Answer")


@contextlib.contextmanager
def sent(executor: Executor, prefix: str, call: Call, folder: Path) -> Iterator[str]:
    """Send a job, and give its name; with the end of the block, the job has ended and `folder` is removed.

    An error in the block cancels the job; if it is one that a person must look into, the job's logs stay.
    Raises: ExecutorError if the job is not taken.
    """
    name = f"{prefix}-{secrets.token_hex(4)}"
    try:
        executor.submit(name, [call])
        yield name
    except BaseException as error:
        with contextlib.suppress(ExecutorError):
            executor.cancel(name)
        for path in folder.iterdir() if isinstance(error, CourseError) else [folder]:
            if path != logs(folder):
                remove_tree(path)
        raise
    wait_for_end(executor, name, END_S)
    executor.close()
    remove_tree(folder)


def logs(folder: Path) -> Path:
    """Return where the output of a job in this folder goes."""
    return folder / "logs"


def wait_for(
    read: Callable[[], Answer | None],
    executor: Executor,
    name: str,
    *,
    profile: Profile,
    folder: Path,
    tell: Callable[[str], None],
) -> Answer:
    """Return the job's answer as soon as there is one; `tell` is called with the job's state meanwhile.

    Raises: ExecutorError, with the last lines that the job printed, if it has ended without an answer.
    """
    ended_at: float | None = None
    while (answer := read()) is None:
        try:
            status = executor.statuses(name).get(0)
        except ExecutorError as error:  # a controller that restarts; the job goes on
            tell(f"not known: {error}")
            time.sleep(POLL_S)
            continue
        state = "forgotten by the queue" if status is None else status.state
        if status is not None and status.phase is not Phase.ENDED:
            ended_at = None
        elif ended_at is None:
            ended_at = time.monotonic()
        elif time.monotonic() - ended_at >= profile.settle_s:
            raise ExecutorError(f"The job ended without an answer: {state}. {_last_words(logs(folder))}")
        tell(state)
        time.sleep(POLL_S)
    return answer


def _last_words(folder: Path) -> str:
    lines = [
        line
        for log in sorted(folder.glob("**/*_log.out"))
        for line in log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    ]
    if not lines:
        return f"It printed nothing to {folder}. Do the nodes see that folder, and this Python? (`folder` and `python` of the profile.)"
    return "\n".join([f"Its output is in {folder}. The last lines:", *lines])
