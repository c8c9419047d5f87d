"""What went through each TCP connection of a network namespace, by the kernel's own account (sock_diag, Linux 4.19).

The account of a connection ends with it: the kernel tells whoever subscribed to the ends of sockets. So nothing that a
rank closes, or leaves open, is missed, and no rank can lower a number.
"""

import socket
import struct
import time
from collections.abc import Iterator

from grader.harness.protocol.traffic import LEAST_STREAM_BYTES, Traffic

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST_DUMP = 0x301
ENDS_OF_TCP = (1, 3)  # the groups SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY
FAMILIES = (socket.AF_INET, socket.AF_INET6)
INET_DIAG_INFO = 2
ALL_STATES = 0xFFFFFFFF

HEADER = struct.Struct("=IHHII")  # nlmsghdr
ATTRIBUTE = struct.Struct("=HH")  # nlattr
NUM_DIAG_BYTES = 72  # inet_diag_msg, before the attributes
COOKIE_AT = 44  # in inet_diag_msg, eight bytes
BYTES_SENT = struct.Struct("=Q")
BYTES_SENT_AT, BYTES_RETRANSMITTED_AT = 200, 208  # in tcp_info
BUFFER_BYTES = 4 << 20
MESSAGE_BYTES = 1 << 16

PATIENCE_S = 0.1
PAUSE_S = 0.001
# Of 1 KiB and less per stream: acknowledgements, and greetings between the members of a group.
NEXT_TO_NOTHING = 16 << 10


class Connections:
    """Follows the connections of this process's network namespace. Needs its capabilities only to begin."""

    def __init__(self) -> None:
        self._sent: dict[bytes, int] = {}
        self._ends = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        self._ends.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._ends.bind((0, sum(1 << (group - 1) for group in ENDS_OF_TCP)))
        self._ends.setblocking(False)
        self._asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)

    def descriptors(self) -> tuple[int, int]:
        """Return what no rank may hold."""
        return self._ends.fileno(), self._asking.fileno()

    def streams(self, traffic: Traffic) -> tuple[int, ...]:
        """Return what each end of each connection has sent so far, without headers and once each, the most first.

        traffic: what the interface carried. The kernel tells of an end a moment after it; until then something is amiss
        """
        end = time.monotonic() + PATIENCE_S
        while True:
            self._ask()
            self._hear()
            missing = traffic.payload_bytes - sum(self._sent.values())
            if missing < NEXT_TO_NOTHING or time.monotonic() >= end:
                return tuple(sorted((sent for sent in self._sent.values() if sent >= LEAST_STREAM_BYTES), reverse=True))
            time.sleep(PAUSE_S)

    def _ask(self) -> None:
        for family in FAMILIES:
            question = struct.pack(
                "=BBBBI", family, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0, ALL_STATES
            ) + bytes(48)
            length = HEADER.size + len(question)
            self._asking.send(HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 0, 0) + question)
            while not self._note(self._asking.recv(MESSAGE_BYTES)):
                pass

    def _hear(self) -> None:
        while True:
            try:
                self._note(self._ends.recv(MESSAGE_BYTES))
            except BlockingIOError:
                return
            except (
                OSError
            ):  # more ended at once than are kept for us: their bytes will be missing, which is for the judge
                continue

    def _note(self, data: bytes) -> bool:
        """Remember what some messages tell; return whether they were the last."""
        for kind, message in _messages(data):
            if kind in {NLMSG_DONE, NLMSG_ERROR}:
                return True
            info = _attribute(message[NUM_DIAG_BYTES:], INET_DIAG_INFO)
            if info is not None and len(info) >= BYTES_RETRANSMITTED_AT + BYTES_SENT.size:
                (sent,), (again,) = (BYTES_SENT.unpack_from(info, at) for at in (BYTES_SENT_AT, BYTES_RETRANSMITTED_AT))
                self._sent[message[COOKIE_AT : COOKIE_AT + 8]] = sent - again
        return False


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= HEADER.size:
        length, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[_aligned(length) :]


def _attribute(data: bytes, wanted: int) -> bytes | None:
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        if kind == wanted:
            return data[ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return None


def _aligned(length: int) -> int:
    return max(ATTRIBUTE.size, (length + 3) & ~3)
