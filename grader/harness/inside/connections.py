"""What each end of each TCP connection in a network namespace has sent, as the kernel counts it (sock_diag, Linux 4.19).

When a socket ends, the kernel sends its last counts to those who subscribed to such ends. So the counts are complete
whether a rank closes its connections or leaves them open, and no rank can lower a count.
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
ENDS_OF_TCP = (1, 3)  # the netlink groups SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY
FAMILIES = (socket.AF_INET, socket.AF_INET6)
INET_DIAG_INFO = 2
ALL_STATES = 0xFFFFFFFF

MESSAGE_HEADER = struct.Struct("=IHHII")  # nlmsghdr
ATTRIBUTE_HEADER = struct.Struct("=HH")  # nlattr
NUM_DIAG_BYTES = 72  # inet_diag_msg, before the attributes
COOKIE_AT = 44  # in inet_diag_msg; eight bytes that name a socket
BYTES_SENT = struct.Struct("=Q")
BYTES_SENT_AT, BYTES_RETRANSMITTED_AT = 200, 208  # in tcp_info
BUFFER_BYTES = 4 << 20
MESSAGE_BYTES = 1 << 16

PATIENCE_S = 0.1
PAUSE_S = 0.001
# What may be missing in all: small packets such as acknowledgements, and greetings between the members of a group.
MAX_MISSING_BYTES = 16 << 10


class Connections:
    """Follows the connections of this process's network namespace. Only to begin, it needs capabilities there."""

    def __init__(self) -> None:
        self._sent: dict[bytes, int] = {}
        self._ends = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        self._ends.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._ends.bind((0, sum(1 << (group - 1) for group in ENDS_OF_TCP)))
        self._ends.setblocking(False)
        self._asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)

    def descriptors(self) -> tuple[int, int]:
        """Return the descriptors behind it; no rank may hold them."""
        return self._ends.fileno(), self._asking.fileno()

    def streams(self, traffic: Traffic) -> tuple[int, ...]:
        """Return the bytes that each end of each connection has sent so far, the largest number first.

        Headers and retransmissions are not counted, and ends that sent less than LEAST_STREAM_BYTES are left out.

        traffic: what the interface carried. The kernel reports the end of a socket a moment late: until the sum of
            what is known comes close to this, wait for more, but at most PATIENCE_S
        """
        end = time.monotonic() + PATIENCE_S
        while True:
            self._ask()
            self._hear()
            missing = traffic.payload_bytes - sum(self._sent.values())
            if missing < MAX_MISSING_BYTES or time.monotonic() >= end:
                return tuple(sorted((sent for sent in self._sent.values() if sent >= LEAST_STREAM_BYTES), reverse=True))
            time.sleep(PAUSE_S)

    def _ask(self) -> None:
        for family in FAMILIES:
            question = struct.pack(
                "=BBBBI", family, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0, ALL_STATES
            ) + bytes(48)
            length = MESSAGE_HEADER.size + len(question)
            self._asking.send(MESSAGE_HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 0, 0) + question)
            while not self._note(self._asking.recv(MESSAGE_BYTES)):
                pass

    def _hear(self) -> None:
        while True:
            try:
                self._note(self._ends.recv(MESSAGE_BYTES))
            except BlockingIOError:
                return
            except OSError:
                continue  # more sockets ended at once than the buffer holds; the judge will see that bytes are missing

    def _note(self, data: bytes) -> bool:
        """Remember the counts in some messages; return whether the last message was among them."""
        for kind, message in _messages(data):
            if kind in {NLMSG_DONE, NLMSG_ERROR}:
                return True
            info = _attribute(message[NUM_DIAG_BYTES:], INET_DIAG_INFO)
            if info is not None and len(info) >= BYTES_RETRANSMITTED_AT + BYTES_SENT.size:
                (sent,), (again,) = (BYTES_SENT.unpack_from(info, at) for at in (BYTES_SENT_AT, BYTES_RETRANSMITTED_AT))
                self._sent[message[COOKIE_AT : COOKIE_AT + 8]] = sent - again
        return False


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= MESSAGE_HEADER.size:
        length, kind, *_ = MESSAGE_HEADER.unpack_from(data)
        yield kind, data[MESSAGE_HEADER.size : length]
        data = data[_aligned(length) :]


def _attribute(data: bytes, wanted: int) -> bytes | None:
    while len(data) >= ATTRIBUTE_HEADER.size:
        length, kind = ATTRIBUTE_HEADER.unpack_from(data)
        if kind == wanted:
            return data[ATTRIBUTE_HEADER.size : length]
        data = data[_aligned(length) :]
    return None


def _aligned(length: int) -> int:
    return max(ATTRIBUTE_HEADER.size, (length + 3) & ~3)
