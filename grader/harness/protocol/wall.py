"""The walls that can stand between submitted code and the machine, strongest first."""

from enum import StrEnum


class Wall(StrEnum):
    """What a zygote and its ranks run behind. Whether a machine offers one is found out by trying (`sandbox.probe`)."""

    NESTED = "nested"
    """bubblewrap round the zygote, and fresh namespaces round each launch."""

    FLAT = "flat"
    """bubblewrap round the zygote only: launches of one submission share its /tmp, network and process table."""

    LANDLOCK = "landlock"
    """Landlock, seccomp and limits: files are secret and ranks bounded, the machine's network is open to them."""

    NONE = "none"
    """Nothing: the code runs with the rights of whoever started the judge."""

    @property
    def is_bubblewrap(self) -> bool:
        """Whether the zygote starts inside bubblewrap."""
        return self in {Wall.NESTED, Wall.FLAT}

    @property
    def counts_bytes(self) -> bool:
        """Whether ranks have a network of their own, whose byte counter they cannot lower."""
        return self.is_bubblewrap
