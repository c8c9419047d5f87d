"""What the tests of rng.py expect: the same actions, with a generator for each stream in place of one default generator."""

import torch

from grader.harness import PerRank, assert_matches


def expected(seed, default_seed, rank, actions):
    """Return what each action of `programs.script` gives on the rank of this number in its group."""
    streams = {"replicated": seed, "tp": seed + 2718 + rank, "default": default_seed}
    streams = {name: torch.Generator().manual_seed(own) for name, own in streams.items()}
    saved = {}
    return [_act(streams, saved, *action) for action in actions]


def _act(streams, saved, kind, *arguments):
    if kind == "default":
        return torch.rand(*arguments, generator=streams["default"])
    if kind == "save":
        saved[arguments[0]] = {name: streams[name].get_state() for name in ("replicated", "tp")}
        return None
    if kind == "load":
        for name, state in saved[arguments[0]].items():
            streams[name].set_state(state)
        return None
    if kind == "nested":
        outer, inner, n = arguments
        return [torch.rand(n, generator=streams[name]) for name in (outer, inner, outer)]
    if kind == "dropout":
        region, x, p, dy = arguments
        staying = torch.rand(x.shape, generator=streams[region]) >= p
        scale = torch.zeros_like(x)
        scale[staying] = 1 / (1 - p) if p < 1 else 0.0
        hidden = torch.tanh(x)
        return [hidden * scale, dy * scale * (1 - hidden**2)]
    region, n = arguments
    return torch.rand(n, generator=streams[region])


def launch_script(launch, programs, actions, size, *, seed=11, groups=None, ranks=None):
    """Launch a script on ranks whose default generators stand in different places, and compare each action's result.

    actions: one list for all ranks, or one for each rank in a PerRank
    ranks: the number of each rank in its group; default: its global rank
    """
    per_rank = {"default_seed": [100 + rank for rank in range(size)]}
    per_rank["actions"] = list(actions) if isinstance(actions, PerRank) else [actions] * size
    run = launch(programs.script, size, per_rank=per_rank, shared={"seed": seed, "groups": groups})
    assert run.comm.count() == 0, "Streams agree because their seeds do: nothing needs to be communicated."
    ranks = ranks or range(size)
    due = [
        expected(seed, 100 + at, rank, one)
        for at, (rank, one) in enumerate(zip(ranks, per_rank["actions"], strict=True))
    ]
    for number, action in enumerate(per_rank["actions"][0]):
        what = f"action {number}, {' '.join(str(part) for part in action if isinstance(part, str | int | float))}"
        others = {
            "the stream that belongs to another rank": PerRank(one[number] for one in due[1:] + due[:1]),
            "the same numbers again: the stream began anew": PerRank(one[0] for one in due),
        }
        found = PerRank(given[number] for given in run["given"])
        first, here = due[0][0], due[0][number]
        comparable = isinstance(first, torch.Tensor) and isinstance(here, torch.Tensor) and first.shape == here.shape
        comparable = comparable and size > 1 and number > 0
        right = PerRank(one[number] for one in due)
        assert_matches(found, right, what=what, mistakes=others if comparable else None, **_bound(action))


def _bound(action):
    """Random numbers are the same to the bit; what dropout computes with them is rounded."""
    return {} if action[0] == "dropout" else {"rtol": 0.0, "atol": 0.0}
