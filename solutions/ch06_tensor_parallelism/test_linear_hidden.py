"""Hidden tests of exercise `parallel_linear`."""

import pytest

from assignments.ch06_tensor_parallelism import programs_linear as programs
from assignments.ch06_tensor_parallelism.references_linear import (
    ROUNDED,
    assert_right,
    assert_traffic,
    fresh_mlps,
    given,
    linear,
    mlp,
    random,
    shard,
    stacked_parts,
    train,
    whole_of,
)
from grader.harness import PerRank, assert_matches, assert_raised, exercise


@exercise("parallel_linear", aspect="equivalence")
@pytest.mark.parametrize("kind", ["column", "row"])
def test_square_layers_without_bias(launch, kind):
    """A square weight, which could be cut along either dim, is cut along the right one; a layer may have no bias."""
    module, xs, dys = linear(4, 4, bias=False), [random(3, 4), random(2, 4)], [random(3, 4), random(2, 4)]
    varying = {"varying_x": kind == "row", "varying_y": kind == "column"}
    shared = {"kind": kind, "sizes": [4, 4], "whole": whole_of(module), "options": {"bias": False}}
    run = launch(programs.passes, 4, per_rank=given(kind, 4, xs, dys, **varying), shared=shared)
    assert_right(run, module, kind, 4, xs, dys, **varying)


@exercise("parallel_linear", aspect="equivalence")
def test_training_on_four_ranks(launch):
    """Four ranks train as one process does, from the same first weights."""
    steps, seeds = [[random(3, 2, 4), random(3, 2, 4)] for _ in range(3)], [0, 9]
    mlps = fresh_mlps(4, 8, seeds)
    losses = train(mlps, steps)
    run = launch(programs.train, 4, shared={"sizes": [4, 8], "seeds": seeds, "steps": steps})
    assert_matches(run["losses"], losses, what="losses", **ROUNDED)
    assert_matches(run["at_end"], PerRank(stacked_parts(mlps, 4)), what="parameters after training", **ROUNDED)


@exercise("parallel_linear", aspect="property")
@pytest.mark.parametrize(
    ("kind", "options", "due"),
    [
        ("column", {}, {"backward": [("all_reduce", 30)]}),
        ("column", {"gather_output": True}, {"forward": [("all_gather", 60)], "backward": [("all_reduce", 30)]}),
        ("row", {}, {"forward": [("all_reduce", 60)]}),
        ("row", {"input_is_parallel": False}, {"forward": [("all_reduce", 60)], "backward": [("all_gather", 30)]}),
    ],
)
def test_each_layer_communicates_once_a_direction(launch, kind, options, due):
    """A layer calls the collectives of its contract and no other, in each of two passes."""
    d_in, d_out = (6, 12)
    module, xs, dys = linear(d_in, d_out), [random(5, d_in), random(5, d_in)], [random(5, d_out), random(5, d_out)]
    varying = {"varying_x": kind == "row" and not options, "varying_y": kind == "column" and not options}
    shared = {"kind": kind, "sizes": [d_in, d_out], "whole": whole_of(module), "options": options}
    run = launch(programs.passes, 3, per_rank=given(kind, 3, xs, dys, **varying), shared=shared)
    assert_right(run, module, kind, 3, xs, dys, **varying)
    assert_traffic(run.comm, due, passes=2)


@exercise("parallel_linear", aspect="robustness")
def test_one_rank_is_an_mlp(launch):
    """On one rank ParallelMLP is the MLP."""
    module, xs, dys = mlp(3, 5), [random(4, 3)], [random(4, 3)]
    shared = {"kind": "mlp", "sizes": [3, 5], "whole": whole_of(module)}
    assert_right(
        launch(programs.passes, 1, per_rank=given("mlp", 1, xs, dys), shared=shared), module, "mlp", 1, xs, dys
    )


@exercise("parallel_linear", aspect="robustness")
def test_what_is_not_contiguous(launch):
    """The input may be a transposed tensor."""
    module, xs, dys = linear(6, 4), [random(6, 3).mT], [random(3, 4)]
    shared = {"kind": "column", "sizes": [6, 4], "whole": whole_of(module), "options": {"gather_output": True}}
    run = launch(programs.passes, 2, per_rank=given("column", 2, xs, dys), shared=shared)
    assert_right(run, module, "column", 2, xs, dys)


@exercise("parallel_linear", aspect="robustness")
def test_a_bias_too_many_is_refused(launch):
    """A layer without bias is loaded without one, and refuses one."""
    weight, bias = random(4, 6), random(4)
    shared = {"kind": "row", "sizes": [6, 4], "options": {"bias": False}, "whole": [weight], "tries": [[weight, bias]]}
    run = launch(programs.loads, 2, shared=shared)
    assert_raised([errors[0] for errors in run["errors"]], "load_full with a bias, to a layer without one,")
    due = [{"weight": part} for part in shard(weight, 1, 2)]
    assert_matches(run["parameters"], PerRank(due), what="parameters")
