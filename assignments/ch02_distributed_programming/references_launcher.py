"""Baselines and assertions that the public and the hidden tests of launcher.py share."""

import re

from assignments.ch02_distributed_programming import programs
from grader.harness import PerRank, assert_matches


def start(launch, function, num_ranks, *args, num_callers=1, timeout_s=None, ctx="fork", timeout=60.0, **options):
    """Call the student's launcher in processes of their own, which may have children; None leaves an option out."""
    options |= {name: value for name, value in (("ctx", ctx), ("timeout", timeout)) if value is not None}
    shared = {"function": function, "num_ranks": num_ranks, "args": args, **options}
    return launch(
        programs.call_launch, num_callers, shared=shared, process_group=False, needs=("children",), timeout_s=timeout_s
    )


def secret_of(run, rank, caller=0):
    """Return the secret that a rank drew, of the launch that `caller` made."""
    signed, error, text = (run[name][caller] for name in ("signed", "error", "text"))
    ended = f"raised {error}: {text}" if error else "returned."
    assert signed[rank] is not None, f"`fn` was never called on rank {rank}, and launch {ended}"
    return signed[rank][1]


def secrets_of(run, caller=0):
    """Return the secrets of all ranks of one launch, after a check that each rank was a process of its own."""
    secrets = [secret_of(run, rank, caller) for rank in range(len(run["signed"][caller]))]
    pids = [pid for pid, _ in run["signed"][caller]]
    assert len({run["caller"][caller], *pids}) == 1 + len(pids), (
        f"Every rank must be a child process of its own, but their process ids were {pids}, "
        f"and launch was called in process {run['caller'][caller]}."
    )
    return secrets


def assert_results(run, expected):
    """Fail with the launcher's own error where it raised one, else compare with what `expected` makes of the secrets."""
    for error, text in zip(run["error"], run["text"], strict=True):
        assert not error, f"launch raised {error}, but no rank failed: {text}"
    callers = range(len(run.values))
    assert_matches(run["results"], PerRank(expected(secrets_of(run, caller)) for caller in callers))


def assert_places(run, num_ranks, args):
    """Fail unless every rank was given its rank, the number of ranks and `args`, and found torchrun's variables."""
    variables = {"WORLD_SIZE": str(num_ranks), "LOCAL_WORLD_SIZE": str(num_ranks)}
    assert_results(
        run,
        lambda secrets: [
            {"given": [r, num_ranks, *args], "RANK": str(r), "LOCAL_RANK": str(r), **variables, "secret": secrets[r]}
            for r in range(num_ranks)
        ],
    )


def assert_all_stay(run):
    """Fail unless rank 0, which returns first, still ran when the others looked for it."""
    assert_results(run, lambda secrets: [{"secret": secret, "rank 0 runs": True} for secret in secrets])


def assert_remote_error(run, rank, *reasons):
    """Fail unless launch raised a RemoteError that names `rank` with all of `reasons`, and left no trace."""
    assert_matches(run["error"], "RemoteError", what="the exception's type")
    assert_matches(run["rank"], rank, what="the exception's rank")
    for reason in reasons:
        assert reason in run["text"][0], f"The exception's reason must hold {reason!r}, and it is: {run['text'][0]}"
    assert_no_trace(run)


def assert_timeout(run, num_ranks, num_stuck):
    """Fail unless launch raised a TimeoutError that names the ranks which hang, and left no trace."""
    assert_matches(run["error"], "TimeoutError", what="the exception's type")
    stuck = programs.stuck_ranks(secret_of(run, 0), num_ranks, num_stuck)
    assert_timeout_names(run, {*stuck})
    assert_no_trace(run)


def assert_timeout_names(run, ranks):
    """Fail unless the text of the TimeoutError names these ranks."""
    named = {int(number) for number in re.findall(r"(?<![\d.])\d+(?!\.?\d)", run["text"][0])}
    assert named >= ranks, f"TimeoutError must name the ranks {sorted(ranks)}, and it says: {run['text'][0]}"


def assert_no_trace(run):
    """Fail unless no process is left of a launch, and the environment of its caller is as it was."""
    assert run.orphans == 0, f"{run.orphans} processes outlived the launch."
    for names in run["environment_changed"]:
        assert not names, f"launch changed os.environ of its caller: {', '.join(names)}. Set them on the rank itself."
