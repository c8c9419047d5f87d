"""What the tests of rng.py expect: the same actions, with a generator for each stream in place of one default generator."""

import torch

from grader.harness import PerRank, assert_matches


LEAKS = "a block left the default generator where its stream was: put its state back, after an exception too"
ON_THE_DEFAULT = "tp_dropout drew outside of all blocks, from the default generator"
NOTHING_FOR_0 = "with p = 0 nothing was drawn, so the stream did not go on"
P_STAYS = "p was taken for the probability to stay"
STAYING = {
    "elements whose number is below 1 - p stayed; those from p on stay": lambda drawn, p: drawn < 1 - p,
    P_STAYS: lambda drawn, p: drawn < p,
}
NOT_LOADED = "load_state() did not put this stream back: state() returns copies of both, which do not follow"
UNMASKED = "the gradient passed elements that were dropped"
MISTAKES = (LEAKS, NOTHING_FOR_0, ON_THE_DEFAULT, *STAYING, NOT_LOADED, UNMASKED)


def expected(seed, default_seed, rank, actions, mistake=None):
    """Return what each action of `programs.script` gives on the rank of this number in its group.

    mistake: one of MISTAKES, if that is what the actions are to give
    """
    streams = {"replicated": seed, "tp": seed + 2718 + rank, "default": default_seed}
    streams = {name: torch.Generator().manual_seed(own) for name, own in streams.items()}
    saved = {}
    return [_act(streams, saved, mistake, *action) for action in actions]


def _act(streams, saved, mistake, kind, *arguments):
    if kind == "default":
        return torch.rand(*arguments, generator=streams["default"])
    if kind == "save":
        saved[arguments[0]] = {name: streams[name].get_state() for name in ("replicated", "tp")}
        return None
    if kind == "load":
        for name, state in saved[arguments[0]].items():
            if mistake != NOT_LOADED:
                streams[name].set_state(state)
        return None
    if kind == "nested":
        outer, inner, n = arguments
        return [torch.rand(n, generator=streams[name]) for name in (outer, inner, outer)]
    region, *details = arguments
    if kind == "dropout":
        drawn = _dropped(streams["default" if mistake == ON_THE_DEFAULT else region], mistake, *details)
    else:
        drawn = torch.rand(*details, generator=streams[region])
    if mistake == LEAKS:
        streams["default"].set_state(streams[region].get_state())
    return drawn


def _dropped(stream, mistake, x, p, dy):
    """Return the result of a dropout of tanh(x), and the gradient of x."""
    draws = p > 0 or mistake != NOTHING_FOR_0
    drawn = torch.rand(x.shape, generator=stream) if draws else torch.ones_like(x)
    stays = STAYING.get(mistake, lambda drawn, p: drawn >= p)(drawn, p)
    part = p if mistake == P_STAYS else 1 - p
    scale = torch.zeros_like(x)
    scale[stays] = 1 / part if part > 0 else 0.0
    hidden = torch.tanh(x)
    back = torch.full_like(x, 1.0) if mistake == UNMASKED else scale
    return [hidden * scale, dy * back * (1 - hidden**2)]


def launch_script(launch, programs, actions, size, *, seed=11, groups=None, ranks=None):
    """Launch a script on ranks whose default generators stand in different places, and compare each action's result.

    actions: one list for all ranks, or one for each rank in a PerRank
    ranks: the number of each rank in its group; default: its global rank
    """
    per_rank = {"default_seed": [100 + rank for rank in range(size)]}
    per_rank["actions"] = list(actions) if isinstance(actions, PerRank) else [actions] * size
    run = launch(programs.script, size, per_rank=per_rank, shared={"seed": seed, "groups": groups})
    assert run.comm.count() == 0, "Streams agree because their seeds do: nothing needs to be communicated."
    ranks = list(ranks or range(size))

    def given(mistake=None):
        own = enumerate(zip(ranks, per_rank["actions"], strict=True))
        return [expected(seed, 100 + at, rank, one, mistake) for at, (rank, one) in own]

    due, wrong = given(), {mistake: given(mistake) for mistake in MISTAKES}
    for number, action in enumerate(per_rank["actions"][0]):
        what = f"action {number}, {' '.join(str(part) for part in action if isinstance(part, str | int | float))}"
        others = {mistake: PerRank(one[number] for one in results) for mistake, results in wrong.items()}
        first, here = due[0][0], due[0][number]
        if isinstance(first, torch.Tensor) and isinstance(here, torch.Tensor) and first.shape == here.shape and number:
            others["the stream that belongs to another rank"] = PerRank(one[number] for one in due[1:] + due[:1])
            others["the same numbers again: the stream began anew"] = PerRank(one[0] for one in due)
        found = PerRank(one[number] for one in run["given"])
        assert_matches(found, PerRank(one[number] for one in due), what=what, mistakes=others, **_bound(action))


def _bound(action):
    """Random numbers are the same to the bit; what dropout computes with them is rounded."""
    return {} if action[0] == "dropout" else {"rtol": 0.0, "atol": 0.0}
