"""Behind a wall a rank has what it needs to run, and nothing else of the machine."""

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
from grader.harness.trials import walls as probe
from tests.harness.processes import descendants, eventually, running
from tests.harness.ranks import Ranks

BUBBLEWRAP = (Wall.NESTED, Wall.FLAT)

# Each returns what a rank attempted, by name, and how that ended.
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
    if (reason := probe.problem(wall)) is not None:
        pytest.skip(f"This machine has no wall '{wall}': {reason}")
    return Ranks(ZygoteHandle(wall=wall, preload=[]), folder)


@pytest.fixture(scope="module")
def zygotes():
    """Zygotes by wall, started when first asked for."""
    started: dict[Wall, ZygoteHandle] = {}
    yield started
    for zygote in started.values():
        zygote.close()


@pytest.fixture
def behind(zygotes, tmp_path):
    """Return ranks behind a wall, or skip where the machine does not offer it."""

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
    """A file outside that everybody on the machine may read, in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "canary")
        file.write_text("sing")
        file.chmod(0o644)
        yield file


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_files_outside_cannot_be_read(behind, wall, canary):
    """No file outside can be opened: not one that everybody may read, not the tests, not the accounts."""
    secret = [str(canary), __file__, "/etc/shadow", "/etc/machine-id", str(Path(__file__).parents[2] / "README.md")]

    outcomes = solve(behind(wall), f"def solve():\n    return [attempt(lambda: open(path)) for path in {secret}]")

    assert set(outcomes[0]) <= {"FileNotFoundError", "PermissionError"}


@pytest.mark.parametrize("wall", BUBBLEWRAP)
def test_ports_outside_cannot_be_reached(behind, wall):
    """The loopback interface is the sandbox's own, and there is no other."""
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
    """A rank sees the few variables that it is given, and none of those of the judge."""
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
    """Where the test says so, a rank starts processes and programs."""
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
    """Namespaces, mounts, other processes' memory, sockets of other families and shared memory of System V: none."""
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
    """Memory ends at a limit with an exception, and so does the space for files."""
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
    """A file that one rank leaves in /tmp or /dev/shm is seen by no other, nor by the next launch."""
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
    """A rank is alone among its processes, and /proc, which also tells of shared files and the network, is empty."""
    code = "def solve():\n    return [os.getpid(), os.getppid(), os.listdir('/proc')]"

    assert solve(behind(Wall.NESTED), code, 2) == ([2, 0, []], [2, 0, []])


def test_a_signal_to_everybody_reaches_nobody(behind):
    """Who ends all that it can end has harmed no sibling; the zygote serves on."""
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


def test_a_crash_is_told_by_its_signal(behind):
    """A pid namespace of one's own changes no signal: abort() ends a rank by SIGABRT."""
    with pytest.raises(StudentFailure, match="SIGABRT"):
        solve(behind(Wall.NESTED), "def solve():\n    os.abort()")


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_threads_may_wake_each_other(behind, wall):
    """The C++ runtime wakes threads that wait for a static variable without saying that they are its own."""
    code = """
        def solve():
            libc = ctypes.CDLL(None, use_errno=True)
            number = {"x86_64": 202, "aarch64": 98}[os.uname().machine]
            return libc.syscall(number, ctypes.byref(ctypes.c_int()), 1, 1, None, None, 0)
        """

    assert solve(behind(wall), code) == (0,)


def test_terminals_are_private(behind):
    """Each rank has terminals of its own, which have the same numbers in all of them."""
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
            with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
                two, _ = server.accept()
                with two:
                    for _ in range(size >> 10):
                        one.sendall(bytes(1 << 10))
                        two.recv(1 << 10, socket.MSG_WAITALL)
        """
    )

    idle, busy = (ranks.remains(1, process_group=False, size=size).status.traffic for size in (0, 1 << 20))

    assert 1 << 20 < (busy - idle).num_bytes < 1.3 * (1 << 20)


@pytest.mark.parametrize("wall", BUBBLEWRAP)
def test_a_launch_that_is_cut_leaves_no_process(behind, wall):
    """At the deadline everything ends that the launch has started, children that hide included."""
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
    """When bubblewrap is killed nothing survives, and the next launch gets a new sandbox."""
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
    """Kill -9 of the judge in the middle of a launch leaves no process."""
    behind(Wall.NESTED).write("import time\ndef solve():\n    time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", JUDGE, str(tmp_path)], stdout=subprocess.PIPE, text=True) as judge:
        sandbox = int(judge.stdout.readline())
        # bubblewrap's own, zygote, supervisor, two ranks, and the keepers of the ranks' pid namespaces
        assert eventually(lambda: len(descendants(sandbox)) == 7)
        pids = {sandbox, *descendants(sandbox)}
        judge.kill()

    assert eventually(lambda: not running(pids))


def test_without_bubblewrap_the_reason_says_what_to_install(monkeypatch, tmp_path):
    """The probe looks for the program first, and says how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert probe.problem.__wrapped__(Wall.NESTED) == probe.NOT_INSTALLED


def test_a_program_that_cannot_make_a_sandbox_is_found_out(monkeypatch, canary):
    """A bubblewrap that fails, as it does where user namespaces are forbidden, is no wall; its own words say why."""
    fake = canary.with_name("bwrap")
    fake.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")

    assert "No permissions to create a new namespace" in probe.problem.__wrapped__(Wall.NESTED)
