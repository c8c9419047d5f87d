"""What the kernel remembers or counts for more than one rank is out of a rank's reach."""

import ctypes
import mmap
import pydoc_data
from pathlib import Path

import pytest

from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from grader.harness.trials import walls
from tests.harness.ranks import Ranks

# No test runs this module, so pages of its file that are read, are read by a test.
SELDOM_READ = Path(pydoc_data.__file__).parent / "topics.py"

HELPERS = """
import ctypes, errno, fcntl, mmap, os, resource, socket, struct, threading, time

libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"

def answer(name, *arguments):
    "Return what the C library's function returns, or the name of its error."
    ctypes.set_errno(0)
    returned = getattr(libc, name)(*arguments)
    return returned if returned >= 0 else errno.errorcode[ctypes.get_errno()]

def raw(number, *arguments):
    "The same for a call by its number."
    return answer("syscall", ctypes.c_long(number), *map(ctypes.c_long, arguments))

def attempt(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]
"""


@pytest.fixture
def solve(zygotes, tmp_path):
    """Return a function that runs `solve()` of this code behind a wall, and returns each rank's answer."""

    def run(code: str, world_size: int = 1, wall: Wall = Wall.NESTED, **options):
        if (reason := walls.problem(wall)) is not None:
            pytest.skip(f"This machine has no wall '{wall}': {reason}")
        if wall not in zygotes:
            zygotes[wall] = ZygoteHandle(wall=wall, preload=[])
        ranks = Ranks(zygotes[wall], tmp_path)
        ranks.write(HELPERS + code)
        return ranks.run(world_size, process_group=False, **options)["value"]

    return run


def pages_in_memory(file: Path) -> int:
    """Return how many pages of a file are in memory."""
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE) as mapped,
    ):
        pages = -(-len(mapped) // mmap.PAGESIZE)
        told = (ctypes.c_ubyte * pages)()
        start = ctypes.c_char.from_buffer(mapped)
        assert 0 == ctypes.CDLL(None).mincore(ctypes.c_void_p(ctypes.addressof(start)), len(mapped), told)
        del start
    return sum(page & 1 for page in told)


WALLS = pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])


@WALLS
def test_a_rank_cannot_ask_what_of_a_file_is_in_memory(solve, wall):
    """No call that tells whether a page would have to be read first answers: an earlier rank could have chosen the pages."""
    answers = solve(
        """
def solve():
    file = os.open(os.__file__, os.O_RDONLY)
    mapped = mmap.mmap(file, 4096, prot=mmap.PROT_READ)
    flags = (os.RWF_HIPRI, os.RWF_NOWAIT, 0x80)
    return [
        *(attempt(lambda: os.preadv(file, [bytearray(1)], 0, flag)) for flag in flags),
        answer("mincore", 0, 0, 0), raw(451, file, 0, 0, 0), raw(239 if X86 else 236, 0, 0, 0, 0, 0),
        raw(237 if X86 else 235, 0, 0, 0, 0, 0, 0), raw(279 if X86 else 239, 0, 0, 0, 0, 0, 0),
        attempt(lambda: os.preadv(file, [bytearray(1)], 0)),
    ]
""",
        wall=wall,
    )

    assert answers == (["ENOTSUP"] * 3 + ["EPERM", "ENOSYS", "EPERM", "EPERM", "EPERM", 1],)


@WALLS
def test_advice_about_files_changes_nothing(solve, wall):
    """Advice is accepted, as programs expect, but no page of a file leaves memory or enters it by advice."""
    SELDOM_READ.read_bytes()
    everything = pages_in_memory(SELDOM_READ)

    code = f"""
def solve():
    file = os.open({str(SELDOM_READ)!r}, os.O_RDONLY)
    mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    for advice in (3, 20, 21, 25):
        mapped.madvise(advice)
    return [answer("readahead", file, ctypes.c_long(0), ctypes.c_size_t(1 << 20)), answer("syncfs", file)]
"""

    assert solve(code, wall=wall) == ([0, 0],)
    assert pages_in_memory(SELDOM_READ) == everything


@WALLS
def test_files_answer_no_requests_of_their_own(solve, wall):
    """File systems tell by ioctl what they have in memory; terminals and sockets are what programs ask."""
    code = """
def solve():
    file = os.open(os.__file__, os.O_RDONLY)
    requests = [0x80086601, 0x40046629, 0x6612, 0xC020660B, 0xC020662A, 0x801C581F, 0x5000940C, 0x1, 0x1277]
    refused = {attempt(lambda: fcntl.ioctl(file, request, bytes(64))) for request in requests}
    one, other = socket.socketpair()
    one.send(b"four")
    return [sorted(refused), os.isatty(file), struct.unpack("i", fcntl.ioctl(other, 0x541B, bytes(4)))]
"""

    assert solve(code, wall=wall) == ([["ENOTTY"], False, (4,)],)


@WALLS
def test_bits_that_the_kernel_ignores_open_no_way(solve, wall):
    """The kernel reads 32 bits of some arguments, the filter 64: more bits than it reads do not hide what is asked for."""
    code = """
HIGH = 1 << 32
def solve():
    file = os.open(os.__file__, os.O_RDONLY)
    control, process = (16, 157) if X86 else (29, 167)
    return [raw(control, 0, 0x5412 | HIGH, 0), raw(process, 4 | HIGH, 1, 0, 0, 0), raw(process, 0x59616D61 | HIGH, 0, 0, 0, 0)]
"""

    assert solve(code, wall=wall) == (["EPERM"] * 3,)


def test_locks_cannot_be_set_by_bits_that_the_kernel_ignores(solve):
    """Neither locks nor leases nor a pipe's size are to be had by a command with high bits."""
    code = """
def solve():
    file = os.open(os.__file__, os.O_RDONLY)
    return [raw(72 if X86 else 25, file, command | 1 << 32, 0) for command in (5, 6, 1024, 1026, 1031)]
"""

    assert solve(code) == (["EPERM"] * 5,)


@WALLS
def test_counts_of_the_machine_are_not_told(solve, wall):
    """How much memory is free, how many processes there are, and how many requests files may have, is not a rank's business."""
    code = """
def solve():
    context = ctypes.c_ulong()
    return [answer("sysinfo", ctypes.create_string_buffer(256)), raw(206 if X86 else 0, 1, ctypes.addressof(context)),
            attempt(lambda: mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)), raw(460, 0, 0, 0)]
"""

    assert solve(code, wall=wall) == (["EPERM", "EPERM", "ENOMEM", "ENOSYS"],)


def test_a_rank_counts_only_its_own(solve):
    """However many threads one rank has, another can start as many as it could alone."""
    code = """
def start(most):
    "Start threads until there are `most`, or the limit is reached."
    stop, threads = threading.Event(), []
    try:
        while len(threads) < most:
            threads.append(threading.Thread(target=stop.wait, daemon=True))
            threads[-1].start()
    except RuntimeError:
        threads.pop()
    return len(threads)

def solve():
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    threading.stack_size(64 << 10)
    return start(1000)
"""

    assert solve(code, 3) == solve(code) * 3


@WALLS
def test_no_signal_waits_in_a_queue(solve, wall):
    """The limit on queued signals is 0, so nobody finds out how many a peer has; signals that Python knows need no queue."""
    code = """
import signal
def solve():
    timer, caught = ctypes.c_void_p(), []
    signal.signal(signal.SIGUSR1, lambda *_: caught.append(1))
    signal.signal(signal.SIGALRM, lambda *_: caught.append(2))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while len(caught) < 2:
        time.sleep(0.01)
    return [resource.getrlimit(11), answer("timer_create", 1, None, ctypes.byref(timer)), caught]
"""

    assert solve(code, wall=wall) == ([(0, 0), "EAGAIN", [1, 2]],)


def test_no_descriptor_is_under_way(solve):
    """Descriptors under way count for the user on the whole machine, so a rank that is alone sends none."""
    code = """
def solve():
    one, other = socket.socketpair()
    one.send(b"plain")
    return [attempt(lambda: socket.send_fds(one, [b"x"], [0])), other.recv(9).decode()]
"""

    assert solve(code) == (["EPERM", "plain"],)


@WALLS
def test_only_tcp_goes_between_ranks(solve, wall):
    """Other protocols have other headers, and connections that the judge does not look for."""
    code = """
def solve():
    kinds = [(family, kind, protocol) for family in (socket.AF_INET, socket.AF_INET6)
             for kind, protocol in ((1, 262), (1, 132), (1, 256), (5, 0), (5, 132), (6, 33), (2, 0), (2, 136), (3, 255), (10, 3))]
    refused = {attempt(lambda: socket.socket(*kind)) for kind in kinds}
    return [sorted(refused), attempt(lambda: socket.socket(2, 1, 6).close())]
"""

    assert solve(code, wall=wall) == ([["EPROTONOSUPPORT"], None],)


def test_refused_connections_hide_no_traffic(zygotes, tmp_path):
    """However often a rank knocks at a closed port, the bytes that the judge finds do not become fewer."""
    if (reason := walls.problem(Wall.NESTED)) is not None:
        pytest.skip(reason)
    if Wall.NESTED not in zygotes:
        zygotes[Wall.NESTED] = ZygoteHandle(wall=Wall.NESTED, preload=[])
    ranks = Ranks(zygotes[Wall.NESTED], tmp_path)
    ranks.write(
        """
        import socket
        def solve():
            for _ in range(1000):
                with socket.socket() as one:
                    assert one.connect_ex(("127.0.0.1", 9))
        """
    )

    assert 0 == ranks.remains(1, process_group=False).status.traffic.payload_bytes


def test_the_times_of_devices_stay(solve):
    """All sandboxes share the machine's device files: a rank may use them, and not set their times."""
    before = Path("/dev/null").stat().st_mtime_ns
    code = """
def solve():
    open("/dev/null", "w").write("x")
    names = ("null", "zero", "full", "random", "urandom")
    refused = {attempt(lambda: os.utime(f"/dev/{name}")) for name in names}
    return [sorted(refused), len(open("/dev/urandom", "rb").read(8))]
"""

    assert solve(code) == ([["EROFS"], 8],)
    assert Path("/dev/null").stat().st_mtime_ns == before


def test_terminals_are_few(solve):
    """A machine has a bounded number of them, so a rank has a few."""
    code = """
def solve():
    made = []
    while len(made) < 100:
        made.append(attempt(os.openpty))
    return sum(isinstance(pair, tuple) for pair in made)
"""

    assert solve(code) == (8,)
