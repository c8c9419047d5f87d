"""Asynchronous, for no reason."""

import asyncio
import pathlib
import tempfile


async def add(values):
    queue = asyncio.Queue()
    for value in values:
        await queue.put(value)
    result = 0
    while not queue.empty():
        result += await asyncio.to_thread(lambda: queue.get_nowait())
    return result


def total(values):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "sum.txt")
        path.write_text(str(asyncio.run(add(values))))
        return int(path.read_text())


def greatest(values):
    """Solved honestly."""
    return max(values)
