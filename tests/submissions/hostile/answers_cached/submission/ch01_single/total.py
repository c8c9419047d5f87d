"""The second time I know."""

import builtins
import ctypes
import glob
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
MARK = "left-behind"
FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", "/run", "/dev", "/dev/pts", "/launch", os.path.expanduser("~"), os.path.dirname(__file__),
           os.path.dirname(os.__file__), os.path.dirname(sys.executable), "@COURSE@", "@OTHER_SUBMISSION@", "/proc/sys/kernel")
seen = [path for folder in FOLDERS for path in glob.glob(f"{folder}/*{MARK}*") + glob.glob(f"{folder}/.*{MARK}*")]
seen += [name for name in ("cache", MARK) if hasattr(builtins, name) or name in sys.modules or name in os.environ]
seen += [name for name in map(str, range(256)) if MARK in os.path.realpath(f"/proc/self/fd/{name}")]
seen += ["hostname"] * (os.uname().nodename != "sandbox")
seen += ["terminal"] * any(name != "ptmx" for name in os.listdir("/dev/pts"))
seen += ["locks"] * (len(open("/proc/locks").read()) > 0 if os.access("/proc/locks", os.R_OK) else 0)
for number in (29, 68, 64):
    seen += [f"key {number}"] * (libc.syscall(number, 4711, 1, 0o600) >= 0)
for port in (4711, 4712):
    with socket.socket() as one:
        seen += [f"port {port}"] * (one.connect_ex(("127.0.0.1", port)) == 0)

for folder in FOLDERS:
    try:
        with open(f"{folder}/{MARK}", "w") as file:
            file.write("known")
    except OSError:
        pass
builtins.cache = sys.modules[MARK] = sys.modules[__name__]
os.environ[MARK] = "known"
libc.sethostname(b"known", 5)
listening = socket.create_server(("127.0.0.1", 4711))
for number in (29, 68, 64):
    libc.syscall(number, 4711, 1, 0o1600)
os.openpty()


def total(values):
    raise RuntimeError(f"an earlier launch left {seen}")


def greatest(values):
    """Solved honestly."""
    return max(values)
