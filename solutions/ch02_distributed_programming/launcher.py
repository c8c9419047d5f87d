"""A launcher for N ranks: start them, collect what they return, and leave nothing behind when one fails."""

### BEGIN SOLUTION
import contextlib
import dataclasses
import multiprocessing.connection
import os
import pickle
import signal
import tempfile
import time
import traceback

### END SOLUTION
from collections.abc import Callable
from typing import Any

### BEGIN SOLUTION
import torch.distributed as dist

SETTLING_S = 0.2  # after a first failure: how long another one may still turn out to be its cause
FAREWELL_S = 1.0  # after a result: how long a rank may take to flush its output and end by itself


### END SOLUTION
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
    ### BEGIN SOLUTION
    if world_size < 1:
        raise ValueError(f"world_size is {world_size}, but a launch needs at least 1 rank.")
    deadline = time.monotonic() + timeout
    context = multiprocessing.get_context(ctx)
    context.set_forkserver_preload(["torch.distributed"])  # torch is imported once, not once on every rank
    ranks: list[_Rank] = []
    # The folder belongs to this launch alone, and so does the file in which its ranks meet.
    with tempfile.TemporaryDirectory(prefix="launch-") as folder:
        try:
            for rank in range(world_size):
                ours, theirs = context.Pipe()
                setting = _Setting(rank, world_size, backend, f"{folder}/store")
                process = context.Process(target=_run_rank, args=(theirs, setting, fn, args))
                ranks.append(_Rank(rank, process, ours))
                process.start()
                theirs.close()  # from here on only the rank holds this end: its death is the end of the pipe
            return _collect(ranks, deadline)
        finally:
            for started in ranks:
                started.end()
    ### END SOLUTION


### BEGIN SOLUTION
@dataclasses.dataclass(frozen=True, slots=True)
class _Setting:
    """What a rank must know before it can run anything."""

    rank: int
    world_size: int
    backend: str
    store: str


@dataclasses.dataclass
class _Rank:
    """The parent's view of one rank."""

    rank: int
    process: multiprocessing.Process
    pipe: multiprocessing.connection.Connection
    report: tuple[bool, float, Any] | None = None  # succeeded, when, the result or what went wrong

    @property
    def failed(self) -> bool:
        return self.report is not None and not self.report[0]

    def listen(self) -> None:
        """Take the rank's report, or note how its process ended without one."""
        try:
            # A grandchild may hold the pipe open, so the pipe of a dead rank can be silent instead of at its end.
            message = self.pipe.recv_bytes() if self.pipe.poll() else None
            self.report = self._obituary() if message is None else pickle.loads(message)  # noqa: S301 - our own child's
        except (EOFError, OSError):
            self.report = self._obituary()

    def _obituary(self) -> tuple[bool, float, str]:
        self.process.join(FAREWELL_S)
        code = self.process.exitcode
        if code is None:
            return False, float("-inf"), "closed its pipe without a result"
        reason = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        # Before all time: whatever the others report, they report it because this rank was gone.
        return False, float("-inf"), f"ended without a result, {reason}"

    def end(self) -> None:
        """Kill and reap the process, which may not even have started."""
        if self.process.pid is not None:
            self.process.kill()  # not terminate(): SIGTERM can be ignored
            self.process.join()
        self.pipe.close()


def _collect(ranks: list[_Rank], deadline: float) -> list[Any]:
    """Return the results in rank order, or raise the error that explains why one is missing."""
    _listen(ranks, deadline, stop_at_failure=True)
    if any(rank.failed for rank in ranks):
        _listen(ranks, time.monotonic() + SETTLING_S, stop_at_failure=False)
        cause = min((rank for rank in ranks if rank.failed), key=lambda rank: rank.report[1])
        raise RemoteError(cause.rank, cause.report[2])
    if silent := [rank.rank for rank in ranks if rank.report is None]:
        raise TimeoutError(f"No result from ranks {silent} before the deadline. All ranks were killed.")
    for rank in ranks:
        rank.pipe.send_bytes(b"leave")
    for rank in ranks:
        rank.process.join(FAREWELL_S)
    return [rank.report[2] for rank in ranks]


def _listen(ranks: list[_Rank], deadline: float, *, stop_at_failure: bool) -> None:
    """Take reports until every rank has reported, the deadline has passed or, if so wanted, a rank has failed."""
    while silent := [rank for rank in ranks if rank.report is None]:
        sources = {source: rank for rank in silent for source in (rank.pipe, rank.process.sentinel)}
        ready = multiprocessing.connection.wait(list(sources), max(0.0, deadline - time.monotonic()))
        for rank in {id(sources[source]): sources[source] for source in ready}.values():
            rank.listen()
        if not ready or (stop_at_failure and any(rank.failed for rank in ranks)):
            return


def _run_rank(
    pipe: multiprocessing.connection.Connection, setting: _Setting, fn: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    """Be one rank: join the process group, run `fn`, report to the parent, and stay until it says that all are done."""
    rank, world_size = setting.rank, setting.world_size
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(world_size), "LOCAL_WORLD_SIZE": str(world_size)}
    try:
        store = dist.FileStore(setting.store, world_size)
        dist.init_process_group(setting.backend, store=store, rank=rank, world_size=world_size)
        result = fn(rank, world_size, *args)
        # Plain pickle copies a tensor's data. Connection.send would only pass a handle that dies with this process.
        report = pickle.dumps((True, time.monotonic(), result))
    except Exception:  # noqa: BLE001 - whatever fn raises is the parent's to report
        report = pickle.dumps((False, time.monotonic(), traceback.format_exc()))
    pipe.send_bytes(report)
    with contextlib.suppress(EOFError):  # the parent has died: nobody needs this rank any more
        pipe.recv_bytes()
    if dist.is_initialized():
        dist.destroy_process_group()


### END SOLUTION
