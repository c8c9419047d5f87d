"""A launcher for N ranks: start them, collect what they return, and leave nothing behind when one fails."""

from collections.abc import Callable
from typing import Any


class RemoteError(RuntimeError):
    """A rank failed: `rank` says which one, `reason` holds its traceback or says how its process ended."""

    def __init__(self, rank: int, reason: str) -> None:
        super().__init__(f"rank {rank} failed: {reason}")
        self.rank = rank
        self.reason = reason


def launch(
    fn: Callable[..., Any],
    world_size: int,
    args: tuple[Any, ...] = (),
    *,
    ctx: str = "forkserver",
    backend: str = "gloo",
    timeout: float = 30.0,
) -> list[Any]:
    """Run `fn(rank, world_size, *args)` on `world_size` ranks and return what each of them returned, in rank order.

    Every rank is one child process, started by multiprocessing's start method `ctx`: "fork", "forkserver" or "spawn".
    With the last two, `fn` and `args` are pickled, so `fn` is a function at the top level of a module.
    A result may be anything that pickle can carry, a tensor or None included, and of any size.

    When `fn` begins, its process has RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE in os.environ, as under
    torchrun on one node, and the default process group is initialised with `backend`.
    Nothing else is promised: no MASTER_ADDR, no MASTER_PORT, for the ranks may meet in a file as well as at a port.
    A rank that has returned stays until all have: if its process ended early, its connections would break, and gloo
    would fail on ranks that still communicate, or are still connecting to each other.
    Any number of launches may run on one machine, at the same time or one after another, after a failed one as well.
    The caller's own os.environ is not changed.

    However launch ends, by a result or by an error, every process that it started has ended and been reaped by then,
    even one that ignores SIGTERM. (The fork server and the resource tracker belong to multiprocessing and may stay.)
    After a failure it does not wait for the ranks that go on: it kills them, and is done within a second or two.

    Raises: ValueError if `world_size` is less than 1.
    Raises: RemoteError if a rank failed. Either `fn` raised an Exception there (a result that cannot be pickled
        counts), and `reason` holds the traceback as text; or its process ended without a result, because of sys.exit,
        os._exit or a signal, and `reason` holds "exit code 3" (0 is no better) or a signal's name like "SIGABRT".
        Ranks that wait for a dead one fail too, a moment later ("Connection closed by peer"). `rank` is the cause,
        not a victim: a rank that ended without a result, if there is one (any of them, if there are several); otherwise
        the one that raised first.
    Raises: TimeoutError if, `timeout` seconds after the call, a rank has neither returned nor failed. The message names
        every rank of which this is true.
    Source: PyTorch documentation, torchrun (Elastic Launch), section Environment Variables, https://docs.pytorch.org/docs/stable/elastic/run.html
    """
    # TODO(launch): write this part, and delete the line below.
    raise NotImplementedError("TODO(launch)")
