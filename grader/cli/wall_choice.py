"""Which wall a command runs code behind, and what it tells the person about it."""

from rich.console import Console

from course_env.errors import LaunchError
from grader.harness.protocol.wall import Wall
from grader.harness.trials.limits import lacking
from grader.harness.trials.walls import NOT_INSTALLED, problem, strongest

ENOUGH_FOR_STRANGERS = (Wall.NESTED, Wall.FLAT)
FOR_OWN_CODE = (Wall.NESTED, Wall.FLAT, Wall.NONE)

NO_WALL = "No sandbox: {whose} runs with your rights. {reason}"
LANDLOCK_ONLY = (
    "A weak sandbox: files are secret and ranks are limited, but ranks can reach the network, and what several "
    "ranks send each other is taken on trust; results say so."
)


def wall_for_submissions(console: Console, asked_for: Wall | None, *, trusted: bool) -> Wall:
    """Return the wall for other people's code; say what a weak one lacks.

    `asked_for`: use only this one; `trusted`: use the strongest available, even none.
    Raises: LaunchError if no such wall is available here.
    """
    _require_limits()
    wall = _only(asked_for) if asked_for is not None else _strong_enough(trusted=trusted)
    _tell_of_weakness(console, wall)
    return wall


def wall_elsewhere(console: Console, asked_for: Wall | None) -> Wall:
    """Return the wall for other people's code on a cluster's nodes, which report it if they lack it."""
    wall = asked_for or Wall.NESTED
    _tell_of_weakness(console, wall)
    return wall


def _tell_of_weakness(console: Console, wall: Wall) -> None:
    if wall is Wall.NONE:
        reason = "Grade only what you would run yourself."
        console.print(NO_WALL.format(whose="what was handed in", reason=reason), style="yellow")
    elif wall is Wall.LANDLOCK:
        console.print(LANDLOCK_ONLY, style="yellow")


def wall_for_own_code(console: Console) -> Wall:
    """Return the wall for a person's own code, which may run without one; say so if it does.

    Raises: LaunchError if a limit of this machine is too low for any launch.
    """
    _require_limits()
    wall = strongest(FOR_OWN_CODE)
    assert wall is not None
    if wall is Wall.NONE:
        tell_of_no_wall(console)
    return wall


def tell_of_no_wall(console: Console) -> None:
    """Say that nothing stands between a person's own code and the machine."""
    console.print(NO_WALL.format(whose="your code", reason=str(problem(Wall.NESTED))), style="dim")


def _require_limits() -> None:
    """Check, before any code of a student runs, that no limit of this machine would make it crash."""
    if (reason := lacking()) is not None:
        raise LaunchError(f"Nothing was run. {reason}")


def _only(wall: Wall) -> Wall:
    if (reason := problem(wall)) is not None:
        raise LaunchError(f"The wall '{wall}' is not available here; nothing was graded. {reason}")
    return wall


def _strong_enough(*, trusted: bool) -> Wall:
    wall = strongest([*ENOUGH_FOR_STRANGERS, Wall.LANDLOCK, Wall.NONE] if trusted else ENOUGH_FOR_STRANGERS)
    if wall is not None:
        return wall
    reason = problem(Wall.NESTED)
    if reason == NOT_INSTALLED or strongest([Wall.LANDLOCK]) is None:
        raise LaunchError(
            f"Nothing was graded: there is no sandbox, because {reason} "
            "(For code that you trust as your own, add --trust-submissions.)"
        )
    raise LaunchError(
        f"Nothing was graded: bubblewrap cannot make a sandbox here. {reason} Available is `--wall landlock`, which "
        "keeps files secret but takes on trust what several ranks send each other."
    )
