"""Never closes what it opens."""

import atexit
import concurrent.futures
import socket
import tempfile
import threading
import time

pool = concurrent.futures.ThreadPoolExecutor(2)
timer = threading.Timer(30, print)
timer.start()
kept = [tempfile.NamedTemporaryFile(), socket.create_server(("127.0.0.1", 0))]
threading.Thread(target=time.sleep, args=(30,)).start()
atexit.register(print, "bye")


def total(values):
    kept[0].write(str(values).encode())
    return pool.submit(sum, values).result()


def greatest(values):
    """Solved honestly."""
    return max(values)
