"""The grader itself may be listening."""

import socket

PORT = int("@CANARY_PORT@")


def knock(family, kind, address):
    with socket.socket(family, kind) as one:
        one.settimeout(0.2)
        one.connect(address)
        if kind == socket.SOCK_DGRAM:
            one.send(b"x")
            one.send(b"x")  # a closed port says so at the second
        return "reached"


def every_port():
    for port in range(PORT - 500, PORT + 500):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return port
    raise OSError


def audit():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)


def kernel_events():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15).bind((0, 1))


WAYS = (
    lambda: knock(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PORT)),
    lambda: knock(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", PORT)),
    lambda: knock(socket.AF_INET, socket.SOCK_STREAM, ("localhost", PORT)),
    lambda: knock(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", PORT)),
    lambda: knock(socket.AF_INET6, socket.SOCK_STREAM, ("::1", PORT)),
    lambda: knock(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", PORT)),
    lambda: knock(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", PORT)),
    lambda: knock(socket.AF_UNIX, socket.SOCK_STREAM, f"\0canary-{PORT}"),
    lambda: knock(socket.AF_UNIX, socket.SOCK_STREAM, "@CANARY_FILE@".replace(".txt", ".socket")),
    lambda: knock(socket.AF_UNIX, socket.SOCK_STREAM, "/var/run/docker.sock"),
    lambda: knock(socket.AF_UNIX, socket.SOCK_STREAM, "/run/dbus/system_bus_socket"),
    lambda: knock(socket.AF_VSOCK, socket.SOCK_STREAM, (2, PORT)),
    lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET),
    lambda: socket.socket(socket.AF_BLUETOOTH, socket.SOCK_RAW),
    lambda: socket.socket(44, socket.SOCK_RAW),
    every_port,
    audit,
    kernel_events,
)


def total(values):
    worked = []
    for number, way in enumerate(WAYS):
        try:
            worked.append((number, way()))
        except BaseException:
            pass
    raise RuntimeError(f"tried {len(WAYS)} ways, worked: {worked}")


def greatest(values):
    """Solved honestly."""
    return max(values)
