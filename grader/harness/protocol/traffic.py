"""What a network carried, as the kernel counts it."""

import msgspec

# IPv4 and TCP with timestamps, which Linux uses on every connection.
TCP_HEADER_BYTES = 20 + 20 + 12
# An end of a connection that sent less is left out: it sent acknowledgements, or greetings within a group.
LEAST_STREAM_BYTES = 1 << 10


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What a loopback interface carried."""

    num_bytes: int
    """With headers."""

    packets: int
    retransmits: int
    """Segments of data that TCP sent a second time; a second request for a connection does not count."""

    @property
    def payload_bytes(self) -> int:
        """What was carried, without headers."""
        return self.num_bytes - TCP_HEADER_BYTES * self.packets

    def __sub__(self, earlier: "Traffic") -> "Traffic":
        """Return what was carried since `earlier`."""
        return Traffic(
            num_bytes=self.num_bytes - earlier.num_bytes,
            packets=self.packets - earlier.packets,
            retransmits=self.retransmits - earlier.retransmits,
        )
