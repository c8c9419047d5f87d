"""The descriptors of one launch, and the loop that reads from them.

Whatever student code does, a launch is over by its deadline plus CUT_AFTER_S plus the time it takes to end processes.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Self

import msgspec

from course_env.errors import LaunchError
from grader.harness.launch.remains import MAX_RESULT_BYTES, RankRemains, Remains
from grader.harness.protocol import frame
from grader.harness.protocol.descriptors import LaunchDescriptors, PartDescriptors, RankDescriptors, pack_descriptors
from grader.harness.protocol.journal import JOURNAL_BYTES, journal_bytes
from grader.harness.protocol.messages import MAX_MESSAGE_BYTES, Cut, LaunchEnded, LaunchRequest, LaunchStatus, Ready
from grader.harness.protocol.timeline import CUT_AFTER_S, PART_LATER_S, SECONDS_TO_END

MAX_STACK_BYTES = 64 << 10
MAX_LOG_BYTES = 64 << 10
# A rank that writes more than this in one launch is a fault; the launch is cut.
FLOOD_BYTES = 64 << 20

_to_json = msgspec.json.Encoder().encode
_from_zygote = msgspec.json.Decoder(Ready | LaunchEnded)
_status = msgspec.json.Decoder(LaunchStatus)


def collecting(request: LaunchRequest, sources: bytes, inputs: Sequence[bytes]) -> "Collector":
    """Return what collects the launch's remains. The caller closes it.

    Raises: LaunchError if this process lacks descriptors or memory for it.
    """
    try:
        return Collector(request, sources, inputs)
    except OSError as error:
        raise LaunchError(f"A launch of {request.world_size} ranks cannot be prepared: {error}.") from error


class Collector:
    """Holds the judge's end of every descriptor of a launch."""

    def __init__(self, request: LaunchRequest, sources: bytes, packed: Sequence[bytes]) -> None:
        self._request = request
        self._ranks = range(len(request.ranks))  # counted within the part
        self._open: list[int] = []
        try:
            self._open_all(sources, packed)
        except OSError:
            self.close()
            raise
        self._start = time.monotonic()

    def _open_all(self, sources: bytes, packed: Sequence[bytes]) -> None:
        self._status_read, self._status_write = self._pipe()
        self._sources = self._keep(frame.sealed_input(sources))
        self._inputs = [self._keep(frame.sealed_input(data)) for data in packed]
        self._results = [self._keep(frame.sealed_output(MAX_RESULT_BYTES)) for _ in self._ranks]
        journal_size = journal_bytes(self._request.world_size)
        self._journals = [self._keep(frame.sealed_output(journal_size)) for _ in self._ranks]
        self._stacks = [self._keep(frame.sealed_output(MAX_STACK_BYTES)) for _ in self._ranks]
        self._log_ends = [self._pipe() for _ in self._ranks]
        self._logs = {read: bytearray() for read, _ in self._log_ends}
        self._dropped = dict.fromkeys(self._logs, 0)

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def _pipe(self) -> tuple[int, int]:
        read, write = os.pipe()
        return self._keep(read), self._keep(write)

    def close(self) -> None:
        """Close all descriptors."""
        for descriptor in self._open:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def descriptors_to_send(self, part: PartDescriptors | None) -> list[int]:
        """Return the descriptors that go to the zygote with the request."""
        logs = [write for _, write in self._log_ends]
        per_rank = zip(self._inputs, self._results, self._journals, self._stacks, logs, strict=True)
        ranks = tuple(
            RankDescriptors(inputs=inputs, result=result, journal=journal, stacks=stacks, log=log)
            for inputs, result, journal, stacks, log in per_rank
        )
        return pack_descriptors(LaunchDescriptors(self._status_write, self._sources, part, ranks))

    def close_ranks_ends(self) -> None:
        """Close our copies of the ranks' write ends, so that end of file means that every rank has ended."""
        for descriptor in [self._status_write, *(write for _, write in self._log_ends)]:
            self._open.remove(descriptor)
            os.close(descriptor)

    def collect(self, control: socket.socket) -> Remains:
        """Drain logs until the launch has ended; cut it at its deadline."""
        late = CUT_AFTER_S if self._request.part is None else CUT_AFTER_S + PART_LATER_S
        deadline = self._start + self._request.timeout_s + late
        zygote_gone_at = deadline + SECONDS_TO_END
        poll = select.poll()
        for descriptor in [control.fileno(), *self._logs]:
            poll.register(descriptor, select.POLLIN)
        deadline_passed = flooded = False
        ended: LaunchEnded | None = None
        zygote_died = False
        while ended is None and not zygote_died:
            cut = deadline_passed or flooded
            limit = zygote_gone_at if cut else deadline
            for descriptor, _ in poll.poll(max(0.0, 1000 * (limit - time.monotonic()))):
                if descriptor == control.fileno():
                    ended, zygote_died = _read_ended(control)
                elif not self._drain(descriptor):
                    poll.unregister(descriptor)
            flooded = flooded or sum(self._dropped.values()) > FLOOD_BYTES
            deadline_passed = deadline_passed or (not flooded and time.monotonic() >= deadline)
            if (deadline_passed or flooded) and not cut and ended is None:
                with contextlib.suppress(OSError):
                    control.send(_to_json(Cut()))
            zygote_died = zygote_died or time.monotonic() >= zygote_gone_at
        self._drain_what_is_left()
        return self._remains(ended, deadline_passed=deadline_passed, flooded=flooded)

    def _drain(self, descriptor: int) -> bool:
        data = os.read(descriptor, 1 << 16)
        log = self._logs[descriptor]
        kept = data[: MAX_LOG_BYTES - len(log)]
        log += kept
        self._dropped[descriptor] += len(data) - len(kept)
        return bool(data)

    def _drain_what_is_left(self) -> None:
        for descriptor in self._logs:
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while self._dropped[descriptor] <= FLOOD_BYTES and self._drain(descriptor):
                    pass

    def _remains(self, ended: LaunchEnded | None, *, deadline_passed: bool, flooded: bool) -> Remains:
        status = self._read_status()
        folder = "" if status is None else status.folder
        results_bytes = sum(map(frame.size_of_frame, self._results))
        is_refused = results_bytes > MAX_RESULT_BYTES
        return Remains(
            request=self._request,
            ranks=tuple(self._rank_remains(rank, folder, is_refused=is_refused) for rank in self._ranks),
            status=status,
            deadline_passed=deadline_passed,
            flooded=flooded,
            zygote_died=ended is None,
            supervisor_failed=ended is not None and ended.supervisor_exit_code > 0,
            seconds=time.monotonic() - self._start,
            refused_bytes=results_bytes if is_refused else 0,
        )

    def _rank_remains(self, rank: int, folder: str, *, is_refused: bool) -> RankRemains:
        log = self._log_ends[rank][0]
        return RankRemains(
            result=None if is_refused else frame.read_frame(self._results[rank]),
            journal=frame.read_written(self._journals[rank], JOURNAL_BYTES),
            stacks=frame.read_written(self._stacks[rank], MAX_STACK_BYTES).decode(errors="replace"),
            log=self._logs[log].decode(errors="replace"),
            log_dropped_bytes=self._dropped[log],
            folder=folder,
        )

    def _read_status(self) -> LaunchStatus | None:
        os.set_blocking(self._status_read, False)
        with contextlib.suppress(BlockingIOError, msgspec.MsgspecError):
            status = _status.decode(os.read(self._status_read, MAX_MESSAGE_BYTES))
            return status if len(status.ranks) == len(self._ranks) else None
        return None


def _read_ended(control: socket.socket) -> tuple[LaunchEnded | None, bool]:
    """Return the zygote's answer if there is one, and whether the zygote has gone instead."""
    try:
        message = control.recv(MAX_MESSAGE_BYTES)
    except ConnectionError:
        message = b""
    ended = _from_zygote.decode(message) if message else None
    return (ended, False) if isinstance(ended, LaunchEnded) else (None, True)
