"""Records every communication of a rank: by torch.distributed, by DDP's reducer in C++, by functional collectives.

How: whenever torch makes a process group on gloo, a `RecordedGroup` replaces it in torch's tables. It is a ProcessGroup,
too, so Python and C++ both call it. It writes each call to the journal and passes it on to the group that torch made.
Results, errors and the name of the backend are those of that group.

Call `prepare` once in the zygote, and `install` once in each rank before its first process group. Without `install`,
and in processes that a rank forks, nothing is recorded.
"""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, Store, _register_process_group, _unregister_process_group
from torch.distributed import distributed_c10d as c10d

from course_env.marks import send_marks_to
from course_env.pipeline import Action
from grader.harness.inside.record_call import METHODS, call_of, check_peer
from grader.harness.inside.record_site import SiteFinder
from grader.harness.protocol.journal import (
    Done,
    Event,
    Failed,
    FutureTaken,
    Issue,
    JournalWriter,
    MarkBegun,
    MarkEnded,
    NewGroup,
    WaitBegun,
    printable,
)

# c10d::kNoTimeout: the time-out of the group decides.
NO_TIMEOUT = timedelta(0)
REHEARSALS = 10
REHEARSAL_BYTES = 1 << 16
BLOCKING_POINT_TO_POINT = frozenset(("send", "recv"))


class _Recorder:
    """Writes one rank's journal, and counts the rank's operations."""

    def __init__(self, journal: JournalWriter, sites: SiteFinder) -> None:
        self._write: Callable[[Event], object] = journal.write
        self._sites = sites
        self._indices = itertools.count()

    def stop(self) -> None:
        """Record nothing more; groups that hold this recorder go on."""
        self._write = _write_nothing

    def new_group(self, name: str, ranks: Sequence[int]) -> int:
        k = next(self._indices)
        site, api = self._sites.caller()
        event = NewGroup(
            k=k, group=printable(name), ranks=tuple(ranks), api=_outermost(api), site=site, t=time.monotonic()
        )
        self._write(event)
        return k

    def issue(self, group: "RecordedGroup", method: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Issue:
        k = next(self._indices)
        call = call_of(method, len(group.ranks), args, kwargs)
        site, api = self._sites.caller()
        event = Issue(
            k=k,
            op=METHODS[method].op,
            group=group.recorded_name,
            ranks=group.ranks,
            inputs=call.inputs,
            outputs=call.outputs,
            dtype=call.dtype,
            itemsize=call.itemsize,
            peer=group.global_rank(call.peer),
            tag=call.tag,
            root=group.global_rank(call.root),
            reduce_op=call.reduce_op,
            api=_outermost(api),
            # torch's send and recv issue what isend and irecv do, and wait at once
            is_async=call.is_async and BLOCKING_POINT_TO_POINT.isdisjoint(api),
            site=site,
            t=time.monotonic(),
        )
        self._write(event)
        return event

    def wait(self, k: int) -> None:
        self._write(WaitBegun(k=k, site=self._sites.caller().site, t=time.monotonic()))

    def future_taken(self, k: int) -> None:
        self._write(FutureTaken(k=k, t=time.monotonic()))

    def done(self, k: int, peer: int | None = None) -> None:
        self._write(Done(k=k, peer=peer, t=time.monotonic()))

    def failed(self, k: int, error: BaseException) -> None:
        self._write(Failed(k=k, error=printable(f"{type(error).__name__}: {error}"), t=time.monotonic()))

    def mark_begun(self, number: int, action: Action) -> None:
        self._write(MarkBegun(mark=number, action=action, t=time.monotonic()))

    def mark_ended(self, number: int) -> None:
        self._write(MarkEnded(mark=number, t=time.monotonic()))


def _write_nothing(_event: Event) -> None:
    pass


def _outermost(api: Sequence[str]) -> str:
    return api[-1] if api else ""


_recorder: _Recorder | None = None
_torch_makes_group = cast("Callable[..., tuple[Any, Any]]", c10d._new_process_group_helper)  # noqa: SLF001 - torch has no public hook


def prepare() -> None:
    """Put the recorder between torch and its process groups. It records nothing before `install`."""
    c10d._new_process_group_helper = cast("Any", _make_group)  # noqa: SLF001 - same
    os.register_at_fork(after_in_child=_stop)
    _rehearse()


def _rehearse() -> None:
    """Record a few operations into a file that nobody reads, so that no rank is the first to run this code.

    It halves what the recorder costs a launch: Python specialises a function's bytecode in its first calls, and a fork
    must copy each page before it writes to it. No thread and no process group is left.
    """
    descriptor = os.memfd_create("rehearsal")
    os.ftruncate(descriptor, REHEARSAL_BYTES)
    install(descriptor, ())
    for _ in range(REHEARSALS):
        dist.init_process_group("gloo", rank=0, world_size=1, store=HashStore())
        for is_async in (False, True):
            work = dist.all_reduce(torch.ones(2), async_op=is_async)
            if work is not None:
                work.wait()
        dist.destroy_process_group()
    _stop()
    os.close(descriptor)


def install(journal_fd: int, source_roots: Sequence[str]) -> None:
    """Record this process's communication into a journal. Sites are lines of files under `source_roots`.

    Earlier roots are preferred: pass the student's before that of the course.
    """
    global _recorder  # noqa: PLW0603 - process groups are global, so their recorder is, too
    _recorder = _Recorder(JournalWriter(journal_fd), SiteFinder(source_roots))
    send_marks_to(_recorder)


def _stop() -> None:
    """Stop recording; called in each fork, because the journal belongs to the parent."""
    global _recorder  # noqa: PLW0603 - same
    if _recorder is not None:
        _recorder.stop()
        send_marks_to(None)
    _recorder = None


def _make_group(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Make a process group; replaces the function of torch that makes every group."""
    recorder = _recorder
    if recorder is None:
        return _torch_makes_group(*args, **kwargs)
    size, _, ranks, _, _, name, *_ = args
    members = tuple(ranks or range(size))
    k = recorder.new_group(name, members)
    try:
        group, group_store = _torch_makes_group(*args, **kwargs)
    except BaseException as error:
        recorder.failed(k, error)
        raise
    recorder.done(k)
    if group is dist.GroupMember.NON_GROUP_MEMBER or isinstance(group, RecordedGroup):
        return group, group_store
    backends = {pair.partition(":")[2] for pair in c10d._world.pg_backend_config[group].split(",")}  # noqa: SLF001 - read where `_replace` writes
    if backends != {"gloo"}:  # torch coalesces NCCL's messages only in its own groups
        return group, group_store
    recorded = RecordedGroup(group, members, recorder)
    _replace(group, recorded)
    return recorded, group_store


def _replace(group: dist.ProcessGroup, recorded: "RecordedGroup") -> None:
    """Register `recorded` with torch instead of `group`."""
    world = c10d._world  # noqa: SLF001 - torch's tables have no public name
    tables: tuple[dict[Any, Any], ...] = (world.pg_map, world.pg_names, world.pg_backend_config, world.pg_to_tag)
    for table in tables:
        table[recorded] = table.pop(group)
    for groups in world.tags_to_pg.values():
        groups[:] = [recorded if known is group else known for known in groups]
    name = world.pg_names[recorded]
    _unregister_process_group(name)
    _register_process_group(name, recorded)


class RecordedGroup(dist.ProcessGroup):
    """A process group that journals each call and passes it on to the group that it replaces."""

    def __init__(self, inner: dist.ProcessGroup, ranks: tuple[int, ...], recorder: _Recorder) -> None:
        super().__init__(inner.rank(), inner.size())  # type: ignore[call-arg] # torch's stub lacks this form
        self.inner = inner
        self.ranks = ranks
        self.recorder = recorder
        self.recorded_name = printable(inner.group_name)
        for device in inner._device_types:  # noqa: SLF001 - C++ asks a group for its backends
            self._register_backend(device, dist.ProcessGroup.BackendType.GLOO, inner._get_backend(device))  # noqa: SLF001 - same
        self._set_default_backend(dist.ProcessGroup.BackendType.GLOO)
        self._set_group_name(inner.group_name)
        self._set_group_desc(inner.group_desc)

    def __repr__(self) -> str:
        return f"of global ranks {', '.join(map(str, self.ranks))}"  # torch's errors say "group" before it

    def get_group_store(self) -> Store:
        """Return the store through which the members met."""
        return self.inner.get_group_store()

    def global_rank(self, group_rank: int | None) -> int | None:
        """Return the global rank of `group_rank`, None if this group has no such rank."""
        return self.ranks[group_rank] if group_rank is not None and 0 <= group_rank < len(self.ranks) else None

    def record(self, method: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Journal and run one call of a method that returns a Work, or None if the method itself blocks."""
        recorder = self.recorder
        issued = recorder.issue(self, method, args, kwargs)
        try:
            check_peer(method, args, kwargs, self.rank(), len(self.ranks))
            work = getattr(self.inner, method)(*args, **kwargs)
        except BaseException as error:
            recorder.failed(issued.k, error)
            raise
        if work is None:
            recorder.done(issued.k)
            return None
        return RecordedWork(work, issued, self)


def _recorded(method: str) -> Callable[..., Any]:
    def call(self: RecordedGroup, *args: Any, **kwargs: Any) -> Any:
        return self.record(method, args, kwargs)

    return call


for _method in METHODS:
    setattr(RecordedGroup, _method, _recorded(_method))


class RecordedWork(dist.Work):
    """The handle of one operation; it journals when code waits for the operation and when code finds it complete."""

    def __init__(self, inner: dist.Work, issued: Issue, group: RecordedGroup) -> None:
        super().__init__()
        self.inner = inner
        self.issued = issued
        self.group = group
        self.settled = False

    def wait(self, timeout: timedelta = NO_TIMEOUT) -> bool:
        """Block until the operation is complete."""
        recorder = self.group.recorder
        if self.issued.is_async and not self.settled:
            recorder.wait(self.issued.k)
        try:
            returned = self.inner.wait(timeout)
        except BaseException as error:
            recorder.failed(self.issued.k, error)
            raise
        self._settle()
        return returned

    def is_completed(self) -> bool:
        """Return whether the operation has ended, with or without an error."""
        completed = self.inner.is_completed()
        if completed:
            self._settle()
        return completed

    def get_future(self) -> Any:
        """Return the future that holds the operation's result."""
        self.group.recorder.future_taken(self.issued.k)
        return self.inner.get_future()

    def _settle(self) -> None:
        if self.settled:
            return
        self.settled = True
        any_source = self.issued.op == "recv" and self.issued.peer is None
        peer = self.group.global_rank(self.inner._source_rank()) if any_source else None  # noqa: SLF001 - what torch's recv itself calls
        self.group.recorder.done(self.issued.k, peer)


def _delegated(method: str) -> Callable[..., Any]:
    def call(self: RecordedWork, *args: Any) -> Any:
        return getattr(self.inner, method)(*args)

    return call


for _method in (
    *("is_success", "exception", "result", "synchronize", "source_rank", "_source_rank", "block_current_stream"),
    *("get_future_result", "_get_duration", "_get_op_type"),
):
    setattr(RecordedWork, _method, _delegated(_method))
