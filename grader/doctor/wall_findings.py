"""Which walls this machine offers, what each keeps out, and what the missing ones need."""

from grader.doctor.machine import Finding
from grader.harness.inside.seccomp import LIBRARY
from grader.harness.protocol.wall import Wall
from grader.harness.trials.limits import low_limits
from grader.harness.trials.walls import NOT_INSTALLED, problem

PROMISES = {
    Wall.NESTED: "submitted code reaches no file, process or network outside, and each launch starts clean.",
    Wall.FLAT: "the same, but launches of one submission see what earlier ones left.",
    Wall.LANDLOCK: "files outside are secret; the network is open. `grade run` takes it only when asked to: --wall landlock.",
}
INSTALL_BUBBLEWRAP = "apt install bubblewrap, or dnf install bubblewrap."
INSTALL_LIBSECCOMP = "apt install libseccomp2, or dnf install libseccomp."
ALLOW_NAMESPACES = (
    "bubblewrap is installed. Where user namespaces are forbidden (Ubuntu since 23.10: sysctl "
    "kernel.apparmor_restrict_unprivileged_userns) an administrator must allow them."
)
NEEDS_LANDLOCK = "Linux 6.12 or later with Landlock switched on (lsm=landlock,... at boot)."


def examine_walls() -> list[Finding]:
    """Return whether limits allow launches, which walls this machine offers, and what the missing ones need."""
    return [_limits(), *(_finding(wall, promise) for wall, promise in PROMISES.items())]


def _limits() -> Finding:
    low = low_limits()
    return Finding(
        name="limits",
        present=not low,
        detail=" ".join(limit.what for limit in low) or "high enough for the largest launch of the course",
        cost_of_absence="Nothing can be graded or checked here: under a limit that is too low right code would crash.",
        how_to_get=" ".join(dict.fromkeys(limit.todo for limit in low)),
    )


def _how_to_get(wall: Wall, reason: str | None) -> str:
    """Return what to do about the reason; it never advises to install what is installed."""
    if low := low_limits():
        return " ".join(dict.fromkeys(limit.todo for limit in low))
    if reason == NOT_INSTALLED:
        return INSTALL_BUBBLEWRAP
    if reason is not None and LIBRARY in reason:
        return INSTALL_LIBSECCOMP
    return NEEDS_LANDLOCK if wall is Wall.LANDLOCK else ALLOW_NAMESPACES


def _finding(wall: Wall, promise: str) -> Finding:
    reason = problem(wall)
    return Finding(
        name=f"wall {wall}",
        present=reason is None,
        detail=promise if reason is None else reason,
        cost_of_absence=f"What it would do: {promise}",
        how_to_get=_how_to_get(wall, reason),
    )
