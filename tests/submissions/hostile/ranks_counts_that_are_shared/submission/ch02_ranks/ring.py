"""Rank 0 holds some; rank 1 finds out how many there are: by its own limit, or because it gets none."""

import ctypes
import fcntl
import os
import resource
import socket
import struct
import threading

import torch.distributed as dist

libc = ctypes.CDLL(None, use_errno=True)
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032
SIGPENDING = 11
MEGABYTE = 1 << 20


def sum_over_ranks(x):
    if dist.get_world_size() < 2:
        return x
    crossed = [name for name, (hold, measure) in CHANNELS.items() if crosses(hold, measure)]
    if dist.get_rank() == 1:
        raise RuntimeError(f"counts that crossed: {crossed}")
    dist.barrier()


def crosses(hold, measure):
    """Return whether what a rank measures depends on what rank 0 holds."""
    measured = []
    for number in (0, 60, 0, 60):
        held = hold(number) if dist.get_rank() == 0 else []
        dist.barrier()
        measured.append(tried(measure) if dist.get_rank() == 1 else None)
        dist.barrier()
        for one in held:
            one()
        dist.barrier()
    first, second, third, fourth = measured
    return first == third != second == fourth


def tried(measure):
    try:
        return measure()
    except (OSError, ValueError):
        return None


def timers(number):
    return [one for one in (timer() for _ in range(number)) if one]


def timer():
    made = ctypes.c_void_p()
    if libc.timer_create(1, None, ctypes.byref(made)) < 0:
        return None
    return lambda: libc.timer_delete(made)


def room_for_signals():
    for limit in range(400):
        resource.setrlimit(SIGPENDING, (limit, resource.getrlimit(SIGPENDING)[1]))
        if delete := timer():
            delete()
            return limit
    return None


def threads(number):
    stop = threading.Event()
    made = [threading.Thread(target=stop.wait, daemon=True) for _ in range(number)]
    for one in made:
        one.start()
    return [lambda: (stop.set(), [one.join() for one in made])]


def room_for_threads():
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    answer = None
    for limit in range(500):
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, hard))
        try:
            started = threading.Thread(target=int)
            started.start()
            started.join()
            answer = limit
            break
        except RuntimeError:
            continue
    resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    return answer


def processes_of_the_machine():
    told = ctypes.create_string_buffer(256)
    if libc.sysinfo(told) < 0:
        raise OSError
    return struct.unpack_from("l3Q6QH", told.raw)[10] // 30


def letters(number):
    """Put descriptors under way."""
    one, other = socket.socketpair()
    for _ in range(number):
        try:
            socket.send_fds(one, [b"x"], [0] * 10)
        except OSError:
            break
    return [one.close, other.close]


def room_for_descriptors():
    one, other = socket.socketpair()
    socket.send_fds(one, [b"x"], [0])
    one.close()
    other.close()
    return "room"


def pipes(number):
    made = [os.pipe() for _ in range(number)]
    for pipe in made:
        try:
            fcntl.fcntl(pipe[1], F_SETPIPE_SZ, MEGABYTE)
        except OSError:
            pass
    return [lambda: [os.close(end) for pipe in made for end in pipe]]


def size_of_a_new_pipe():
    pipe = os.pipe()
    size = fcntl.fcntl(pipe[1], F_GETPIPE_SZ)
    for end in pipe:
        os.close(end)
    return size


def requests(number):
    contexts = [ctypes.c_ulong() for _ in range(number // 60)]
    for context in contexts:
        libc.syscall(206, 30_000, ctypes.byref(context))
    return [lambda: [libc.syscall(207, context) for context in contexts]]


def room_for_requests():
    context = ctypes.c_ulong()
    if libc.syscall(206, 20_000, ctypes.byref(context)) < 0:
        return "none"
    libc.syscall(207, context)
    return "room"


CHANNELS = {
    "signals": (timers, room_for_signals),
    "threads": (threads, room_for_threads),
    "processes": (threads, processes_of_the_machine),
    "descriptors": (letters, room_for_descriptors),
    "pipes": (pipes, size_of_a_new_pipe),
    "requests": (requests, room_for_requests),
}
