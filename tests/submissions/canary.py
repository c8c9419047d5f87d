"""What no submission may find: a secret text in files and in the environment, and ports that nobody may knock at."""

import secrets
import socket
from pathlib import Path
from typing import Self

BACKLOG = 100


class Canary:
    """A secret, and listeners that remember whether anybody came."""

    def __init__(self, folder: Path) -> None:
        self.secret = f"canary-{secrets.token_hex(12)}"
        self.file = folder / "canary.txt"
        self.file.write_text(self.secret)
        self.file.chmod(0o644)
        self._tcp = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = self._tcp.getsockname()[1]
        self._listeners = [
            self._tcp,
            self._bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", self.port)),
            *self._of_ipv6(),
            self._bound(socket.AF_UNIX, socket.SOCK_STREAM, f"\0canary-{self.port}"),
            self._bound(socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "canary.socket")),
        ]
        (folder / "canary.socket").chmod(0o777)
        for listener in self._listeners:
            listener.setblocking(False)

    def _of_ipv6(self) -> list[socket.socket]:
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        return [self._bound(socket.AF_INET6, kind, ("::1", self.port)) for kind in kinds] if _has_ipv6() else []

    def _bound(self, family: int, kind: int, address: object) -> socket.socket:
        listener = socket.socket(family, kind)
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen(BACKLOG)
        return listener

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners:
            listener.close()

    def visits(self) -> list[str]:
        """Return where somebody has connected or sent something since the last call."""
        return [str(listener.getsockname()) for listener in self._listeners if _was_visited(listener)]


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def _was_visited(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_STREAM:
            listener.accept()[0].close()
        else:
            listener.recv(1)
    except BlockingIOError:
        return False
    return True
