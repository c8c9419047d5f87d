"""The walls that can stand between submitted code and the machine, the strongest first."""

from enum import StrEnum


class Wall(StrEnum):
    """What a zygote and its ranks run behind. Only a trial shows whether a machine offers a wall: see `trials.walls`."""

    NESTED = "nested"
    """bubblewrap around the zygote, and new namespaces around each launch."""

    FLAT = "flat"
    """bubblewrap around the zygote only: launches of one submission share its /tmp, network and process table."""

    LANDLOCK = "landlock"
    """Landlock, seccomp and limits: files are secret and ranks bounded, but the machine's network is open to them."""

    NONE = "none"
    """Nothing: the code runs with the rights of the user who started the judge."""

    @property
    def is_bubblewrap(self) -> bool:
        """Whether the zygote starts inside bubblewrap."""
        return self in {Wall.NESTED, Wall.FLAT}

    @property
    def counts_bytes(self) -> bool:
        """Whether this wall can give ranks a separate network, whose byte counter they cannot lower."""
        return self.is_bubblewrap
