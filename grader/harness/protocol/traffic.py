"""What the kernel says that a network carried."""

import msgspec

# IPv4 and TCP with timestamps, which Linux uses on every connection.
TCP_HEADER_BYTES = 20 + 20 + 12
# What one end of a connection must have sent to be told of: less is acknowledgements, and greetings within a group.
LEAST_STREAM_BYTES = 1 << 10


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What a loopback interface carried, by the kernel's count.

    num_bytes: headers included
    retransmits: segments of data that TCP sent a second time; connections that are asked for twice do not count
    """

    num_bytes: int
    packets: int
    retransmits: int

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
