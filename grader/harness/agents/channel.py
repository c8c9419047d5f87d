"""Authenticated messages over TCP between a judge and the agents of its job.

Ranks of several machines share a network, so a rank can connect to an agent. Each end opens with a nonce of 32 random bytes.
The job's secret and both nonces give one key for each direction, and every message carries a keyed hash over its sequence
number and its content. A message from another connection, from earlier, or from the other direction is therefore refused.
Contents are not encrypted: only a cluster's administrators can read its network.
"""

import contextlib
import hashlib
import hmac
import os
import socket
import struct
from enum import Enum
from typing import Self

NONCE_BYTES = 32
CODE_BYTES = 32
HEADER = struct.Struct("<Q")
FIRST_MESSAGE_BYTES = 1 << 16  # a stranger must not make us hold much
MESSAGE_BYTES = 1 << 32
CHUNK_BYTES = 1 << 20
STALLED_S = 30.0
"""How long the rest of a message may take, and how long a dead machine may go unnoticed."""


class ChannelError(Exception):
    """The other end does not know the secret, or the connection broke."""


class Party(Enum):
    """Who sends: the key of a direction is made with the name of its sender."""

    JUDGE = b"judge"
    AGENT = b"agent"


class Channel:
    """One end of a connection. Closes the socket when it is closed.

    Raises: ChannelError if the other end sends no nonce, or the connection breaks.
    """

    def __init__(self, connection: socket.socket, secret: bytes, party: Party) -> None:
        self._socket = connection
        self._socket.settimeout(STALLED_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * STALLED_S))
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            self._socket.setsockopt(socket.IPPROTO_TCP, option, int(STALLED_S / 3))
        other = Party.AGENT if party is Party.JUDGE else Party.JUDGE
        nonces = {party: os.urandom(NONCE_BYTES)}
        self._write(nonces[party])
        nonces[other] = self._read(NONCE_BYTES)
        both = nonces[Party.JUDGE] + nonces[Party.AGENT]
        self._sending = _Sequence(secret, party, both)
        self._receiving = _Sequence(secret, other, both)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor to wait on for a message."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def hang_up(self) -> None:
        """End the connection while another thread may be waiting for a message."""
        with contextlib.suppress(OSError):  # the other end was quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, content: bytes) -> None:
        """Send one message."""
        length = HEADER.pack(len(content))
        self._write(length + self._sending.code(length, content))
        self._write(content)

    def receive(self) -> bytes:
        """Return the content of the next message; wait for it as long as the connection lasts."""
        length = self._read_header()
        (num_bytes,) = HEADER.unpack(length)
        if num_bytes > (MESSAGE_BYTES if self._receiving.begun else FIRST_MESSAGE_BYTES):
            raise ChannelError(f"a message of {num_bytes:,} bytes is too long")
        code = self._read(CODE_BYTES)
        content = self._read(num_bytes)
        if not hmac.compare_digest(code, self._receiving.code(length, content)):
            raise ChannelError("the other end does not know the secret of this job")
        return content

    def _read_header(self) -> bytes:
        """Wait for the start of a message: without limit between two messages, but not before the first."""
        self._socket.settimeout(None if self._receiving.begun else STALLED_S)
        first = self._read(1)
        self._socket.settimeout(STALLED_S)
        return first + self._read(HEADER.size - 1)

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ChannelError(str(error)) from None

    def _read(self, num_bytes: int) -> bytes:
        data = bytearray()
        while len(data) < num_bytes:
            try:
                chunk = self._socket.recv(min(num_bytes - len(data), CHUNK_BYTES))
            except OSError as error:
                raise ChannelError(str(error)) from None
            if not chunk:
                raise ChannelError("the other end has closed the connection")
            data += chunk
        return bytes(data)


class _Sequence:
    """The keyed hashes of the messages in one direction."""

    def __init__(self, secret: bytes, sender: Party, nonces: bytes) -> None:
        self._key = hashlib.blake2b(nonces, key=secret, person=sender.value).digest()
        self._number = 0

    @property
    def begun(self) -> bool:
        """Whether a message has passed."""
        return self._number > 0

    def code(self, length: bytes, content: bytes) -> bytes:
        """Return the code of the next message."""
        hashed = hashlib.blake2b(HEADER.pack(self._number) + length, key=self._key, digest_size=CODE_BYTES)
        hashed.update(content)
        self._number += 1
        return hashed.digest()
