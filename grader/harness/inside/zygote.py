"""Imports torch once, then forks one supervisor per launch. Runs no student code and holds no secret.

Why a zygote: `import torch` takes over a second; a fork of a process that has imported it takes a few milliseconds. Two
rules make forking safe and fast. The zygote has one thread only: OMP_NUM_THREADS=1 before the first import, and an
assertion before each fork. And it loads and uses once all that torch would load lazily, so that no rank pays for it.
"""

import array
import gc
import importlib
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import msgspec

from course_env import value_types
from grader.harness.inside import bindings, landlock, linux, namespaces
from grader.harness.inside.confine import OUT_OF_MEMORY_FIRST, Filters, compile_filters
from grader.harness.inside.supervisor import LaunchSite, OtherParts, supervise
from grader.harness.protocol.descriptors import PartDescriptors, unpack_descriptors
from grader.harness.protocol.files import remove_tree
from grader.harness.protocol.messages import (
    MAX_MESSAGE_BYTES,
    Cut,
    LaunchEnded,
    LaunchRequest,
    Ready,
    ZygoteSettings,
)
from grader.harness.protocol.wall import Wall

# What torch would import on first use: torch._dynamo alone (any optimizer, any dispatch mode) would cost a rank 1.1 s.
PRELOAD = (
    "torch",
    "torch._dynamo",
    "torch.distributed",
    "torch.distributed._functional_collectives",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.nn.functional",
    "torch.distributed.pipelining",
    "torch.distributed.tensor",
    "torch.distributed.tensor.parallel",
    "torch.nn.parallel",
    "torch.optim",
    "torch.utils.checkpoint",
    "torch.utils.data",
    "safetensors.torch",
    "grader.harness.inside.recorder",
    "course_env.collective_meter",
    "course_env.meters",
    "course_env.rank_programs",
    "course_env.toy_models",
)
SECONDS_TO_CLEAN_UP = 1.0
LAUNCH_FOLDER = Path("/launch")  # in the sandbox; each launch mounts a file system there
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the C library keeps semaphores and shared memory there

_to_json = msgspec.json.Encoder().encode
_requests = msgspec.json.Decoder(LaunchRequest | Cut)


def main() -> None:
    """Serve launches until the judge is gone. Argument: ZygoteSettings as JSON."""
    settings = msgspec.json.decode(sys.argv[1], type=ZygoteSettings)
    control = socket.socket(fileno=settings.control)
    os.set_inheritable(control.fileno(), False)
    # A fresh interpreter that a rank starts imports the main module again. It need not see this one, and often could not.
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        filters = _confine(settings)
        rulesets = _rulesets(settings)
        _prepare(control, settings.preload)
        while _serve(control, settings, filters, rulesets):
            pass
    except ConnectionError:
        pass  # the judge was killed
    finally:
        linux.end_children()
        if not settings.wall.is_bubblewrap:  # in bubblewrap the folder ends with the sandbox's mounts
            remove_tree(Path(settings.scratch))  # the judge does this, too, unless it was killed


def _confine(settings: ZygoteSettings) -> Filters | None:
    """Give up what this process does not need; return the filters for its ranks, None without a wall."""
    if settings.wall is Wall.NONE:
        return None
    Path("/proc/self/oom_score_adj").write_text(OUT_OF_MEMORY_FIRST)  # forks inherit it
    linux.set_dumpable(False)
    return compile_filters()


def _rulesets(settings: ZygoteSettings) -> Mapping[bool, int]:
    """Return Landlock's rules for a launch, by whether its ranks may start processes; none behind another wall.

    Processes of one program share locks, queues and tensors through files in /dev/shm, where landlock cannot give each
    launch a folder of its own. Those have random names, which nobody can list.
    """
    if settings.wall is not Wall.LANDLOCK:
        return {}
    read = {Path(path): landlock.READ for path in settings.visible}
    rights = {**read, Path(settings.scratch): landlock.ALL_RIGHTS, Path(os.devnull): landlock.ALL_RIGHTS}
    shared = {SHARED_MEMORY: landlock.SHARE} if SHARED_MEMORY.is_dir() else {}
    return {False: landlock.make_ruleset(rights), True: landlock.make_ruleset({**rights, **shared})}


def _prepare(control: socket.socket, preload: Sequence[str]) -> None:
    start = time.perf_counter()
    for name in value_types.MODULES:  # a rank decodes its arguments before it imports anything of the course
        importlib.import_module(name)
    if "torch" in preload:
        _preload()
    bindings.prepare()
    linux.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    gc.collect()
    linux.use_huge_pages()  # forks copy page tables; this makes a launch a quarter faster
    gc.freeze()  # otherwise a collection in a child would touch the whole heap, and so copy it
    ready = Ready(pid=os.getpid(), import_s=time.perf_counter() - start, tasks=linux.num_tasks())
    control.send(_to_json(ready))


def _preload() -> None:
    for name in PRELOAD:
        importlib.import_module(name)
    _warm_up()


def _warm_up() -> None:
    """Pay torch's first-use costs once. Safe before forking only because there is one OpenMP thread."""
    import torch
    import torch.distributed as dist

    from grader.harness.inside import recorder
    from grader.harness.protocol import frame

    recorder.prepare()
    torch.manual_seed(0)  # the first seed sets the generator up, which would cost every rank 440 page faults
    store = dist.HashStore()  # type: ignore[attr-defined] # a re-export of C++
    dist.init_process_group("gloo", rank=0, world_size=1, store=store)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 8)).square().mean().backward()
    dist.all_reduce(torch.ones(8, dtype=torch.float64))
    optimizer.step()
    frame.unpack(frame.pack("inputs", torch.ones(1)))
    dist.destroy_process_group()


def _serve(
    control: socket.socket, settings: ZygoteSettings, filters: Filters | None, rulesets: Mapping[bool, int]
) -> bool:
    """Serve one launch; return whether the judge is still there."""
    message, descriptors = _receive(control)
    if not message:
        return False
    request = _requests.decode(message)
    if isinstance(request, Cut):  # for a launch that has just ended by itself
        return True
    assert linux.num_tasks() == 1, "a zygote with threads cannot fork safely"
    is_nested = settings.wall is Wall.NESTED
    folder = LAUNCH_FOLDER if is_nested else Path(tempfile.mkdtemp(dir=settings.scratch))
    site = LaunchSite(
        wall=settings.wall,
        folder=folder,
        parent=0 if is_nested else os.getpid(),
        uid=os.getuid(),
        gid=os.getgid(),
        visible=settings.visible,
        filters=filters,
        has_own_network=settings.wall.counts_bytes and settings.network is None,
    )
    pid = namespaces.fork_into_fresh(with_network=site.has_own_network) if is_nested else os.fork()
    if pid == 0:
        _be_supervisor(control, request, descriptors, site, rulesets)
    for descriptor in descriptors:
        os.close(descriptor)
    judge_is_there = _watch(control, pid)
    _, state = os.waitpid(pid, 0)
    linux.end_children()
    if not is_nested:  # behind the nested wall the folder ended with the launch's mounts
        remove_tree(folder)
    if judge_is_there:
        control.send(_to_json(LaunchEnded(supervisor_exit_code=os.waitstatus_to_exitcode(state))))
    return judge_is_there


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    space = socket.CMSG_SPACE(4 * 253)  # SCM_MAX_FD: the most that one message can carry
    message, ancillary, _, _ = control.recvmsg(MAX_MESSAGE_BYTES, space)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        descriptors.frombytes(data)
    return message, list(descriptors)


def _be_supervisor(
    control: socket.socket, request: LaunchRequest, sent: list[int], site: LaunchSite, rulesets: Mapping[bool, int]
) -> None:
    code = 1
    try:
        control.close()
        if rulesets:
            landlock.enter(rulesets[request.children])
        for ruleset in rulesets.values():
            os.close(ruleset)
        descriptors = unpack_descriptors(sent, request)
        others = None if descriptors.part is None else _other_parts(descriptors.part)
        supervise(request, descriptors, site, others=others)
        code = 0
    except BaseException:  # noqa: BLE001 - the judge shows it to the operator
        traceback.print_exc()
    finally:
        os._exit(code)


def _other_parts(descriptors: PartDescriptors) -> OtherParts:
    step = socket.socket(fileno=descriptors.step)
    return OtherParts(step, None if descriptors.listening is None else socket.socket(fileno=descriptors.listening))


def _watch(control: socket.socket, supervisor: int) -> bool:
    """Wait until the supervisor has ended; cut it if the judge asks or is gone. Return whether the judge is there."""
    pidfd = os.pidfd_open(supervisor)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control, select.POLLIN)
    judge_is_there, kill_at = True, None
    try:
        while True:
            patience_ms = None if kill_at is None else max(0.0, 1000 * (kill_at - time.monotonic()))
            ready = [descriptor for descriptor, _ in poll.poll(patience_ms)]
            if pidfd in ready:
                return judge_is_there
            if not ready:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            if control.fileno() in ready:
                judge_is_there = bool(control.recv(MAX_MESSAGE_BYTES))  # a Cut, or the end of the judge
                if not judge_is_there:
                    poll.unregister(control)
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
                kill_at = time.monotonic() + SECONDS_TO_CLEAN_UP
    finally:
        os.close(pidfd)


if __name__ == "__main__":
    main()
    os._exit(0)  # tearing the interpreter down after torch costs 200 ms
