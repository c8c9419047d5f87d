"""One rank: import the student's file, run one program on it, write one frame.

All of this runs in the same process as student code, so nothing here decides anything.
"""

import faulthandler
import importlib.util
import linecache
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from course_env.errors import did_you_mean
from grader.harness.inside import bindings
from grader.harness.protocol import frame
from grader.harness.protocol.codec import Allowance, UnsupportedValueError
from grader.harness.protocol.descriptors import RankDescriptors
from grader.harness.protocol.messages import MAX_ERROR_TEXT, MAX_FRAMES, LaunchRequest, RankError, SourceLine
from grader.harness.protocol.sources import roots

MAX_MEMBERS = 10  # of an exception group that are shown
MAX_GROUP_DEPTH = 5


class Meeting(NamedTuple):
    """Where the ranks of a launch find the store of the default process group."""

    host: str
    port: int
    listening: int | None
    """Descriptor of the socket that listens there, for the rank that serves the store; None for all others."""


class MissingSymbolError(AttributeError):
    """The student's file lacks a name that the exercise asks for."""


class StudentModule:
    """The student's file as programs see it: its names, and a clear error for a name that it lacks."""

    def __init__(self, module: ModuleType, symbols: Sequence[str]) -> None:
        self._module = module
        self._symbols = symbols

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._module, name)
        except AttributeError:
            file = Path(self._module.__file__ or "").name
            present = [known for known in vars(self._module) if not known.startswith("_")]
            found = f"In the file: {did_you_mean(name, present)}" if present else "The file defines nothing."
            raise MissingSymbolError(
                f"{file} has no '{name}'. It must keep the names of the stub: {', '.join(self._symbols)}. {found}"
            ) from None


def run_rank(
    rank: int,
    request: LaunchRequest,
    descriptors: RankDescriptors,
    folder: str,
    meeting: Meeting | None,
    *,
    deadline: float,
) -> bool:
    """Run the request's program as `rank` and write its outcome; return whether the program returned.

    folder: holds the launch's sources
    meeting: where rank 0 serves the store of the default process group; None: there is no process group
    deadline: by the monotonic clock; at it, the stacks of this rank's threads are written for the judge
    """
    submission, course = folders = roots(folder)
    _redirect_streams(descriptors.log)
    faulthandler.dump_traceback_later(max(0.001, deadline - time.monotonic()), file=descriptors.stacks)
    phase = "start"
    try:
        device = _take_gpu(request.gpus[request.ranks.index(rank)]) if request.gpus else None
        inputs = frame.read_at_most(descriptors.inputs, os.fstat(descriptors.inputs).st_size)
        arguments = frame.unpack(inputs, device, Allowance(of_inputs=True)).value
        sys.path += folders  # processes that student code spawns import both files again, by name
        if meeting is not None and request.is_recorded:
            _record(descriptors.journal, folders)
        # All that observes student code is bound before that code is imported, and so can replace nothing unseen.
        programs = None if request.programs_file is None else _load(request.programs_file, course)
        program = _call if programs is None else getattr(programs, request.program)
        changed = bindings.bind(programs, refuses=request.refuses, hidden=not request.children)
        phase = "import"
        student = StudentModule(_load(request.student_file, submission), request.symbols)
        phase = "start"
        _make_ready(request.seed + rank, has_gpu=device is not None)
        if meeting is not None:
            _join_process_group(rank, request, meeting)
        phase = "program"
        returned = program(student, **arguments)
        phase = "result"
        if name := changed():
            frame.write_frame(descriptors.result, frame.pack("changed", name))
        else:
            frame.write_frame(descriptors.result, frame.pack("returned", returned))
    except BaseException as error:  # noqa: BLE001 - sys.exit() and KeyboardInterrupt are outcomes too
        _report(error, phase, folders, descriptors.result)
        return False
    return True


def _redirect_streams(log: int) -> None:
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - stays open as long as the rank
    # Line-buffered, so that the last words of a rank that is killed are not lost.
    sys.stdout = open(1, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115 - same
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115 - same


def _load(file: str, folder: str) -> ModuleType:
    """Import `file` of `folder` under its plain name, as a script in that folder would."""
    path = Path(folder, file)
    if not path.is_file():
        raise FileNotFoundError(f"{file} is missing: the submission has no such file.")
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _call(student: StudentModule, function: str, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Call one of the student's functions: the program of launches that name no other."""
    return {"value": getattr(student, function)(*args, **kwargs)}


def _make_ready(seed: int, *, has_gpu: bool) -> None:
    random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        # manual_seed looks for every kind of device, which copies 200 pages of the zygote's.
        torch.manual_seed(seed) if has_gpu else torch.default_generator.manual_seed(seed)
        # At its first use after a fork autograd sets itself up; it crashes if threads of student code do that together.
        torch.ones(1, requires_grad=True).exp()


def _take_gpu(handle: str) -> str:
    """Use this GPU and no other, and make it the default device of tensors; return its name as a device."""
    import torch

    os.environ["CUDA_VISIBLE_DEVICES"] = handle  # before anything asks CUDA
    torch.cuda.set_device(0)
    torch.set_default_device("cuda")
    return "cuda"


def _record(journal: int, folders: Sequence[str]) -> None:
    from grader.harness.inside import recorder

    recorder.install(journal, folders)


def _join_process_group(rank: int, request: LaunchRequest, meeting: Meeting) -> None:
    import torch.distributed as dist

    from course_env.devices import backend_on

    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(request.local_ranks[request.ranks.index(rank)]),
        WORLD_SIZE=str(request.world_size),
        LOCAL_WORLD_SIZE=str(request.local_world_size),
    )
    # The judge's deadline, not gloo's, must cut a hang: gloo's time-out would turn it into an exception whose text names
    # nobody. Groups that are made later inherit no time-out from this one, so torch's default is set, too.
    timeout = timedelta(seconds=10 * request.timeout_s)
    dist.distributed_c10d.default_pg_timeout = timeout
    store = dist.TCPStore(  # type: ignore[attr-defined] # a re-export of C++
        meeting.host,
        meeting.port,
        request.world_size,
        is_master=rank == 0,
        timeout=timeout,
        wait_for_workers=False,
        master_listen_fd=meeting.listening,
    )
    dist.init_process_group(
        backend_on(request.gpus),
        rank=rank,
        world_size=request.world_size,
        store=store,
        timeout=timeout,
        device_id=0 if request.gpus else None,  # index of the only GPU that this process sees
    )


def _report(error: BaseException, phase: str, folders: Sequence[str], result: int) -> None:
    try:
        report = _rank_error(error, phase, folders)
    except BaseException:  # noqa: BLE001 - the attributes of a student's exception may be anything
        report = RankError(phase=phase, type="an exception", message="(it cannot be described)", frames=())
    try:
        frame.write_frame(result, frame.pack("raised", msgspec.to_builtins(report)))
    except (OSError, ValueError, UnsupportedValueError) as second:
        print(f"the error could not be reported: {second}", file=sys.stderr)


def _rank_error(error: BaseException, phase: str, folders: Sequence[str]) -> RankError:
    """Return `error` as the student should read it: only lines of files under `folders`, named relative to these."""
    lines = [_source_line(entry, folders) for entry in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        lines.append(_syntax_line(error, folders))
    frames = tuple(line for line in lines if line is not None)[-MAX_FRAMES:]
    return RankError(phase=phase, type=_text(type(error).__name__), message=_message(error), frames=frames)


def _message(error: BaseException) -> str:
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        return _text("\n".join([str(text), *islice(_members(error), MAX_MEMBERS)]))
    except BaseException as second:  # noqa: BLE001 - a student's __str__ may do anything
        return f"(its message could not be formed: {type(second).__name__})"


def _members(error: BaseException, depth: int = 1) -> Iterator[str]:
    """Yield a line for each exception in a group; those of inner groups are indented."""
    if isinstance(error, BaseExceptionGroup) and depth < MAX_GROUP_DEPTH:
        for member in BaseExceptionGroup.exceptions.__get__(error):
            yield f"{'  ' * depth}{type(member).__name__}: {member}"
            yield from _members(member, depth + 1)


def _text(text: str) -> str:
    return text[:MAX_ERROR_TEXT].encode("utf-8", "replace").decode()


def _syntax_line(error: SyntaxError, folders: Sequence[str]) -> SourceLine | None:
    """Return where the error is, if its attributes say so: in one that student code raised, they may hold anything."""
    match error.filename, error.lineno, error.text:
        case str() as file, int() as line, str() | None as text:
            return _relative(file, line, "<module>", (text or "").strip(), folders)
    return None


def _source_line(entry: traceback.FrameSummary, folders: Sequence[str]) -> SourceLine | None:
    return _relative(entry.filename, entry.lineno or 0, entry.name, entry.line or "", folders)


def _relative(file: str, line: int, function: str, text: str, folders: Sequence[str]) -> SourceLine | None:
    for root in folders:
        if file.startswith(root + os.sep):
            code = text or linecache.getline(file, line).strip()
            return SourceLine(
                file=_text(file[len(root) + 1 :]), line=line, function=_text(function), text=_text(code[:200])
            )
    return None


def leave(code: int) -> None:
    """End this process at once: tearing down the interpreter takes 200 ms once torch is imported, and can deadlock."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001, S112 - student code may have closed or replaced it
            continue
    os._exit(code)


def restore_signals() -> None:
    """Undo the supervisor's signal handlers in a newly forked rank."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
