"""Messages over TCP that only those can send who know the secret of the job.

Ranks of several machines share their network, so that a rank can connect to an agent, and try. Each end opens with 32 random
bytes. Of both, and the secret, a key is made for either direction, and every message carries a code by that key over its
number and its content: nothing that was said on another connection, earlier, or the other way round can be said again.
Contents are no secret: who reads a cluster's network is its administrator.
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
FIRST_MESSAGE_BYTES = 1 << 16  # whoever has shown nothing yet must not make us hold much
MESSAGE_BYTES = 1 << 32
CHUNK_BYTES = 1 << 20
STALLED_S = 30.0
"""How long the rest of a message may take, and a machine that is gone may look as if it were there."""


class ChannelError(Exception):
    """The other end is not one of ours, or has gone in the middle of something."""


class Party(Enum):
    """Who one is: the key of either direction is made with the name of the sender."""

    JUDGE = b"judge"
    AGENT = b"agent"


class Channel:
    """One end of a connection. Closes the socket when it is closed.

    Raises: ChannelError if the other end does not open, or goes.
    """

    def __init__(self, connection: socket.socket, secret: bytes, end: Party) -> None:
        self._socket = connection
        self._socket.settimeout(STALLED_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * STALLED_S))
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            self._socket.setsockopt(socket.IPPROTO_TCP, option, int(STALLED_S / 3))
        mine = os.urandom(NONCE_BYTES)
        self._write(mine)
        theirs = self._read(NONCE_BYTES)
        other = Party.AGENT if end is Party.JUDGE else Party.JUDGE
        nonces = {end: mine, other: theirs}
        both = nonces[Party.JUDGE] + nonces[Party.AGENT]
        self._sending = _Sequence(secret, end, both)
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
        """End the connection from another thread than the one that may wait for a message."""
        with contextlib.suppress(OSError):  # the other end was quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, content: bytes) -> None:
        """Send one message."""
        length = HEADER.pack(len(content))
        self._write(length + self._sending.code(length, content))
        self._write(content)

    def receive(self) -> bytes:
        """Wait for one message, as long as the other end is there, and return its content."""
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
        """Wait for the begin of a message: between two of them there is no hurry, before the first there is."""
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
    """The codes of the messages in one direction."""

    def __init__(self, secret: bytes, sender: Party, nonces: bytes) -> None:
        self._key = hashlib.blake2b(nonces, key=secret, person=sender.value).digest()
        self._number = 0

    @property
    def begun(self) -> bool:
        """Whether there was a message."""
        return self._number > 0

    def code(self, length: bytes, content: bytes) -> bytes:
        """Return the code of the next message."""
        hashed = hashlib.blake2b(HEADER.pack(self._number) + length, key=self._key, digest_size=CODE_BYTES)
        hashed.update(content)
        self._number += 1
        return hashed.digest()
