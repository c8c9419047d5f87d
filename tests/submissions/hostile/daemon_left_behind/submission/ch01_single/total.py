"""What outlives this launch can answer the next one."""

import ctypes
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

LOOP = "import time\nwhile True: time.sleep(1)"


def fork():
    if os.fork() == 0:
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        os.setsid()
        if os.fork():
            os._exit(0)
        time.sleep(100)


def clone():
    if ctypes.CDLL(None, use_errno=True).syscall(56, 17, 0, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "clone")


def leave_files():
    for folder in ("/tmp", "/dev/shm", "/var/tmp", "/launch", "@COURSE@", "@SOLUTIONS@", os.path.dirname(__file__), "/", "/usr"):
        try:
            pathlib.Path(folder, "left-behind").write_text("x")
        except OSError:
            pass
    raise OSError


WAYS = (
    fork,
    clone,
    lambda: os.forkpty(),
    lambda: subprocess.Popen([sys.executable, "-c", LOOP], start_new_session=True),
    lambda: os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 100"], {}),
    lambda: multiprocessing.get_context("fork").Process(target=time.sleep, args=(100,)).start(),
    lambda: multiprocessing.get_context("spawn").Process(target=time.sleep, args=(100,)).start(),
    lambda: os.execv("/bin/sh", ["sh", "-c", "sleep 100 & exit 0"]),
    leave_files,
)


def total(values):
    worked = []
    for number, way in enumerate(WAYS):
        try:
            way()
            worked.append(number)
        except BaseException:
            pass
    threading.Thread(target=time.sleep, args=(100,), daemon=False).start()
    signal.setitimer(signal.ITIMER_REAL, 60)
    raise RuntimeError(f"tried {len(WAYS)} ways, {len(worked)} worked")


def greatest(values):
    """Solved honestly."""
    return max(values)
