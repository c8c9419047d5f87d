"""The interface and address by which other machines reach this one."""

import fcntl
import socket
import struct

from course_env.errors import LaunchError
from grader.harness.protocol.messages import Network

SIOCGIFADDR = 0x8915
ADDRESS_AT = slice(20, 24)  # in struct ifreq, which holds a sockaddr_in after the name
DISCARD_PORT = 9  # nothing is sent


def network_towards(host: str) -> Network:
    """Return the interface by which `host` is reached, and its address, by which `host` reaches this machine.

    Raises: LaunchError if there is none.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            any_socket.connect((host, DISCARD_PORT))
            address = str(any_socket.getsockname()[0])
    except OSError as error:
        raise LaunchError(f"{socket.gethostname()} has no way to {host}: {error}.") from None
    for _, name in socket.if_nameindex():
        if _address(name) == address:
            return Network(interface=name, address=address)
    raise LaunchError(f"{socket.gethostname()} has no network interface whose first address is {address}.")


def _address(interface: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("256s", interface.encode())
        try:
            answer = fcntl.ioctl(any_socket, SIOCGIFADDR, request)
        except OSError:  # it has none
            return None
        return socket.inet_ntoa(answer[ADDRESS_AT])
