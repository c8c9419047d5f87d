"""Which walls this machine offers. Each is tried: a zygote starts behind it, and a rank tries to reach the outside."""

import functools
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

from course_env.errors import LaunchError
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.outcome import StudentFailure
from grader.harness.protocol.wall import Wall
from grader.harness.sandbox.bubblewrap import PROGRAM
from grader.harness.trials.limits import LARGEST_WORLD_SIZE, LEAST_THREADS_PER_RANK, lacking
from grader.harness.trials.on_ranks import call_on_ranks

PROBE = b'''
import socket, threading

def look_out(file, port, num_threads):
    """Return what can be reached of the machine outside, once as many threads run as a launch may need."""
    end = threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(num_threads)]
    try:
        for thread in threads:
            thread.start()
        return [name for name, reach in (("files", read), ("network", connect)) if reach(file, port)]
    finally:
        end.set()

def read(file, _port):
    try:
        return bool(open(file).read())
    except OSError:
        return False

def connect(_file, port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
'''
MUST_HIDE = {
    Wall.NESTED: {"files", "network"},
    Wall.FLAT: {"files", "network"},
    Wall.LANDLOCK: {"files"},
    Wall.NONE: set[str](),
}
PROBE_S = 10.0
NOT_INSTALLED = "bubblewrap is not installed: apt install bubblewrap, or dnf install bubblewrap."


def strongest(among: Iterable[Wall]) -> Wall | None:
    """Return the first of `among` that this machine offers."""
    return next((wall for wall in among if problem(wall) is None), None)


@functools.cache
def problem(wall: Wall) -> str | None:
    """Return why this machine does not offer `wall`, or None if it does. Costs half a second, once.

    The trial is as large as a launch: it has the ranks of the course's largest test, with as many threads as they may need.
    """
    if wall is Wall.NONE:
        return None
    if (reason := lacking()) is not None:
        return reason
    if wall.is_bubblewrap and shutil.which(PROGRAM) is None:
        return NOT_INSTALLED
    try:
        reached = _look_out(wall)
    except (LaunchError, StudentFailure) as error:
        return f"A trial failed: {_last_line(str(error))}"
    out = sorted(reached & MUST_HIDE[wall])
    return f"A trial showed that it does not hold: {' and '.join(out)} outside can be reached." if out else None


def _look_out(wall: Wall) -> set[str]:
    """Return which of two baits, a file and a port outside, any rank behind `wall` reaches."""
    with (
        tempfile.NamedTemporaryFile("w", prefix="outside-") as file,
        socket.create_server(("127.0.0.1", 0)) as server,
        ZygoteHandle(wall=wall, preload=()) as zygote,
    ):
        file.write(secrets.token_hex())
        file.flush()
        Path(file.name).chmod(0o644)
        baits = [file.name, server.getsockname()[1], LEAST_THREADS_PER_RANK]
        run = call_on_ranks(zygote, PROBE, "look_out", baits, timeout_s=PROBE_S, world_size=LARGEST_WORLD_SIZE)
        return {name for value in run["value"] for name in value}


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]
