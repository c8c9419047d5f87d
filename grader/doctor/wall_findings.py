"""Which walls this machine offers, what each keeps out, and what the missing ones need."""

from grader.doctor.machine import Finding
from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import problem

PROMISES = {
    Wall.NESTED: "submitted code reaches no file, process or network outside, and each launch starts clean.",
    Wall.FLAT: "the same, but launches of one submission see what earlier ones left.",
    Wall.LANDLOCK: "files outside are secret; the network is open. `grade run` takes it only when asked to: --wall landlock.",
}
NEEDS_BUBBLEWRAP = (
    "apt install bubblewrap, or dnf install bubblewrap. Where user namespaces are forbidden (Ubuntu since 23.10: sysctl "
    "kernel.apparmor_restrict_unprivileged_userns) an administrator must allow them. libseccomp must be installed too."
)
NEEDS_LANDLOCK = "Linux 6.12 or later with Landlock switched on (lsm=landlock,... at boot), and libseccomp."


def examine_walls() -> list[Finding]:
    """Return which walls this machine offers, what each keeps out, and what the missing ones need."""
    return [_finding(wall, promise) for wall, promise in PROMISES.items()]


def _finding(wall: Wall, promise: str) -> Finding:
    reason = problem(wall)
    return Finding(
        name=f"wall {wall}",
        present=reason is None,
        detail=promise if reason is None else reason,
        cost_of_absence=f"What it would do: {promise}",
        how_to_get=NEEDS_LANDLOCK if wall is Wall.LANDLOCK else NEEDS_BUBBLEWRAP,
    )
