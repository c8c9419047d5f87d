"""Behind a wall a rank can reach what it needs to run, and nothing else of the machine."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.outcome import Outcome, StudentFailure
from grader.harness.protocol.wall import Wall
from grader.harness.trials import walls
from tests.harness.ranks import Ranks
from tests.processes import descendants, eventually, running

BUBBLEWRAP = (Wall.NESTED, Wall.FLAT)

# `attempt` returns how an action ended: "done", or the name of the exception.
TRY = """
import ctypes, errno, os, signal, socket, subprocess, threading

def attempt(action):
    try:
        action()
    except (OSError, RuntimeError, MemoryError) as error:
        return type(error).__name__
    return "done"
"""


def _ranks(wall: Wall, folder: Path):
    if (reason := walls.problem(wall)) is not None:
        pytest.skip(f"This machine has no wall '{wall}': {reason}")
    return Ranks(ZygoteHandle(wall=wall, preload=[]), folder)


@pytest.fixture
def behind(zygotes, tmp_path):
    """Return ranks behind a wall, or skip the test if the machine does not offer it."""

    def ranks(wall: Wall) -> Ranks:
        if wall not in zygotes:
            zygotes[wall] = _ranks(wall, tmp_path).zygote
        return Ranks(zygotes[wall], tmp_path)

    return ranks


def solve(ranks: Ranks, code: str, world_size: int = 1, **options):
    """Return what `solve()` of this code returns on each rank."""
    ranks.write(TRY + textwrap.dedent(code))
    return ranks.run(world_size, process_group=False, **options)["value"]


@pytest.fixture
def canary():
    """A file outside that every user of the machine may read, in a folder that every user may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "canary")
        file.write_text("sing")
        file.chmod(0o644)
        yield file


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_files_outside_cannot_be_read(behind, wall, canary):
    """No file outside can be opened: neither one that every user may read, nor the tests, nor the accounts."""
    secret = [str(canary), __file__, "/etc/shadow", "/etc/machine-id", str(Path(__file__).parents[2] / "README.md")]

    outcomes = solve(behind(wall), f"def solve():\n    return [attempt(lambda: open(path)) for path in {secret}]")

    assert set(outcomes[0]) <= {"FileNotFoundError", "PermissionError"}


@pytest.mark.parametrize("wall", BUBBLEWRAP)
def test_ports_outside_cannot_be_reached(behind, wall):
    """The only network interface is a loopback interface, and it is not the machine's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        outcomes = solve(
            behind(wall),
            f"""
            def solve():
                local = attempt(lambda: socket.create_connection(("127.0.0.1", {port}), timeout=1))
                remote = attempt(lambda: socket.create_connection(("192.0.2.1", 80), timeout=1))
                return [local, remote, [name for _, name in socket.if_nameindex()]]
            """,
        )

    assert outcomes == (["ConnectionRefusedError", "OSError", ["lo"]],)


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_the_environment_is_not_the_judges(behind, wall, monkeypatch):
    """A rank sees the few variables that it was given, and none of the judge's."""
    monkeypatch.setenv("SECRET_OF_THE_JUDGE", "sing")

    environ = solve(behind(wall), "def solve():\n    return dict(os.environ)")[0]

    assert "SECRET_OF_THE_JUDGE" not in environ
    assert environ["HOME"] == environ["TMPDIR"]


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_ranks_start_threads_and_no_processes(behind, wall):
    """A rank may start threads, but no process and no program."""
    outcomes = solve(
        behind(wall),
        """
        def solve():
            thread = threading.Thread(target=int)
            return [attempt(thread.start), attempt(os.fork), attempt(lambda: os.execv("/usr/bin/true", ["true"])),
                    attempt(lambda: subprocess.run(["/usr/bin/true"]))]
        """,
    )

    assert outcomes == (["done", "BlockingIOError", "PermissionError", "BlockingIOError"],)


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_an_exercise_that_needs_children_may_start_them(behind, wall):
    """If the test says so, ranks can start processes and programs."""
    code = 'def solve():\n    return subprocess.run(["/usr/bin/true"]).returncode'

    assert solve(behind(wall), code, children=True) == (0,)


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT])
def test_ranks_have_no_privileges(behind, wall):
    """A rank is an ordinary user without capabilities, and cannot become anything else."""
    fields = solve(
        behind(wall),
        """
        def solve():
            lines = open("/proc/self/status").read().splitlines()
            return dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
        """,
        children=True,  # without them there is no /proc to read
    )[0]

    assert {fields[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert "0" not in fields["Uid"].split()


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_calls_that_reach_further_are_refused(behind, wall):
    """A rank can make no namespace, mount, shared memory of System V or socket of another family, and trace no process."""
    outcomes = solve(
        behind(wall),
        """
        libc = ctypes.CDLL(None, use_errno=True)

        def refused(name, *arguments):
            return getattr(libc, name)(*arguments) == -1 and errno.errorcode[ctypes.get_errno()]

        def solve():
            return [
                refused("unshare", 0x10000000), refused("mount", b"none", b"/tmp", b"tmpfs", 0, None),
                refused("ptrace", 16, os.getppid(), 0, 0), refused("shmget", 1, 4096, 0o1600), refused("setns", 3, 0),
                refused("memfd_create", b"x", 0), refused("prctl", 4, 1, 0, 0, 0),
                *(attempt(lambda: socket.socket(family)) for family in (socket.AF_UNIX, socket.AF_VSOCK, 17, 38)),
            ]
        """,
    )

    assert outcomes == (["EPERM"] * 7 + ["OSError"] * 4,)


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_memory_and_files_are_bounded(behind, wall):
    """At the limits on memory and on the space for files, a rank gets an exception."""
    outcomes = solve(
        behind(wall),
        """
        def fill():
            with open("big", "wb") as file:
                for _ in range(300):
                    file.write(bytes(1 << 20))

        def solve():
            return [attempt(lambda: bytes(5 << 30)), attempt(fill)]
        """,
    )

    assert outcomes == (["MemoryError", "OSError"],)


def test_each_rank_has_its_own_folders(behind):
    """No other rank, and no later launch, sees a file that a rank leaves in /tmp or /dev/shm."""
    ranks = behind(Wall.NESTED)
    code = """
        import time
        def solve():
            for folder in ("/tmp", "/dev/shm"):
                open(f"{folder}/{time.monotonic_ns()}", "w").close()
            time.sleep(0.2)
            return [sum(name.isdigit() for name in os.listdir(folder)) for folder in ("/tmp", "/dev/shm")]
        """

    assert solve(ranks, code, 2) == ([1, 1], [1, 1])
    assert solve(ranks, code, 2) == ([1, 1], [1, 1])


def test_nobody_changes_the_sources(behind):
    """The submission's files and the course's programs are read-only while they run."""
    code = 'def solve():\n    return [attempt(lambda: open(__file__, "a")), attempt(lambda: os.remove(__file__))]'

    assert solve(behind(Wall.NESTED), code) == (["OSError", "OSError"],)


def test_ranks_cannot_name_each_other(behind):
    """A rank sees only its own processes, and /proc, which also shows shared files and the network, is empty."""
    code = "def solve():\n    return [os.getpid(), os.getppid(), os.listdir('/proc')]"

    assert solve(behind(Wall.NESTED), code, 2) == ([2, 0, []], [2, 0, []])


def test_a_signal_to_everybody_reaches_nobody(behind):
    """A rank that signals all processes it can reach harms no other rank, and the zygote goes on."""
    ranks = behind(Wall.NESTED)
    code = """
        def solve():
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                return "nobody"
        """

    assert solve(ranks, code, 2) == ("nobody", "nobody")
    assert solve(ranks, "def solve():\n    return 7", 2) == (7, 7)


def test_a_crash_is_reported_by_its_signal(behind):
    """In a separate pid namespace, too, abort() ends a rank by SIGABRT."""
    with pytest.raises(StudentFailure, match="SIGABRT"):
        solve(behind(Wall.NESTED), "def solve():\n    os.abort()")


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_threads_may_wake_each_other(behind, wall):
    """The C++ runtime wakes threads that wait for a static variable by a futex that is not marked as private."""
    code = """
        def solve():
            libc = ctypes.CDLL(None, use_errno=True)
            futex = {"x86_64": 202, "aarch64": 98}[os.uname().machine]
            return libc.syscall(futex, ctypes.byref(ctypes.c_int()), 1, 1, None, None, 0)
        """

    assert solve(behind(wall), code) == (0,)


def test_terminals_are_private(behind):
    """Each rank has separate terminals: the first that it opens has the same name in all ranks."""
    code = """
        def solve():
            os.openpty()
            return sorted(os.listdir("/dev/pts"))
        """

    assert solve(behind(Wall.NESTED), code, 2) == (["0", "ptmx"], ["0", "ptmx"])


@pytest.mark.parametrize("wall", BUBBLEWRAP)
def test_the_kernel_counts_what_ranks_send(behind, wall):
    """Every byte between ranks crosses a loopback interface whose counter they cannot lower."""
    ranks = behind(wall)
    ranks.write(
        """
        import socket
        def solve(size):
            with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
                far, _ = server.accept()
                with far:
                    for _ in range(size >> 10):
                        near.sendall(bytes(1 << 10))
                        far.recv(1 << 10, socket.MSG_WAITALL)
        """
    )

    idle, busy = (ranks.remains(1, process_group=False, size=size).status.traffic for size in (0, 1 << 20))

    assert 1 << 20 < (busy - idle).num_bytes < 1.3 * (1 << 20)


@pytest.mark.parametrize("wall", BUBBLEWRAP)
def test_a_launch_that_is_cut_leaves_no_process(behind, wall):
    """At the deadline all that the launch has started ends, including children that hide."""
    ranks = behind(wall)
    before = descendants(ranks.zygote.pid)
    with pytest.raises(StudentFailure) as failure:
        solve(
            ranks,
            """
            def solve():
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                for _ in range(5):
                    if os.fork() == 0:
                        os.setsid()
                        os.fork()
                        break
                signal.sigwait([signal.SIGUSR1])
            """,
            2,
            timeout_s=0.5,
            children=True,
        )

    assert failure.value.outcome is Outcome.TIMED_OUT
    assert eventually(lambda: descendants(ranks.zygote.pid) == before)


@pytest.mark.parametrize("wall", BUBBLEWRAP)
def test_a_killed_sandbox_takes_everything_with_it(wall, tmp_path):
    """When bubblewrap is killed, nothing in it survives, and the next launch gets a new sandbox."""
    ranks = _ranks(wall, tmp_path)
    with ranks.zygote as zygote:
        zygote.wait_until_ready()
        pids = {zygote.pid, *descendants(zygote.pid)}
        os.kill(zygote.pid, signal.SIGKILL)

        assert eventually(lambda: not running(pids))
        assert solve(ranks, "def solve():\n    return 7") == (7,)


JUDGE = """
import sys
from pathlib import Path
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from tests.harness.ranks import Ranks
ranks = Ranks(ZygoteHandle(wall=Wall.NESTED, preload=[]), Path(sys.argv[1]))
ranks.zygote.wait_until_ready()
print(ranks.zygote.pid, flush=True)
ranks.remains(2, process_group=False, timeout_s=60)
"""


def test_a_killed_judge_takes_the_sandbox_with_it(behind, tmp_path):
    """If the judge is killed in the middle of a launch, no process is left."""
    behind(Wall.NESTED).write("import time\ndef solve():\n    time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", JUDGE, str(tmp_path)], stdout=subprocess.PIPE, text=True) as judge:
        sandbox = int(judge.stdout.readline())
        # bubblewrap's second process, zygote, supervisor, two ranks, and the holders of their two pid namespaces
        assert eventually(lambda: len(descendants(sandbox)) == 7)
        pids = {sandbox, *descendants(sandbox)}
        judge.kill()

    assert eventually(lambda: not running(pids))


def test_without_bubblewrap_the_reason_says_what_to_install(monkeypatch, tmp_path):
    """Without the program, the reason says how to install it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert walls.problem.__wrapped__(Wall.NESTED) == walls.NOT_INSTALLED


def test_a_program_that_cannot_make_a_sandbox_is_found_out(monkeypatch, canary):
    """If bubblewrap fails, as where user namespaces are forbidden, there is no wall, and the reason is its error message."""
    fake = canary.with_name("bwrap")
    fake.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")

    assert "No permissions to create a new namespace" in walls.problem.__wrapped__(Wall.NESTED)
