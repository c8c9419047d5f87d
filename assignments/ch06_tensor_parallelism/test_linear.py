"""Public tests of exercise `parallel_linear`."""

import pytest
import torch

from assignments.ch06_tensor_parallelism import programs_linear as programs
from assignments.ch06_tensor_parallelism.references_linear import (
    ROUNDED,
    assert_right,
    assert_traffic,
    first_weight,
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
@pytest.mark.parametrize("size", [2, 3])
def test_column(launch, size):
    """ColumnParallelLinear gives its part of nn.Linear's output and gradients, and the whole gradient of x."""
    module, xs, dys = linear(5, 12), [random(3, 5)], [random(3, 12)]
    run = launch(
        programs.passes,
        size,
        per_rank=given("column", size, xs, dys, varying_y=True),
        shared={"kind": "column", "sizes": [5, 12], "whole": whole_of(module)},
    )
    assert_right(run, module, "column", size, xs, dys, varying_y=True)


@exercise("parallel_linear", aspect="equivalence")
@pytest.mark.parametrize("size", [2, 3])
def test_row(launch, size):
    """RowParallelLinear sums the ranks' products, adds the bias once, and has nn.Linear's gradients."""
    module, xs, dys = linear(12, 5), [random(3, 12)], [random(3, 5)]
    run = launch(
        programs.passes,
        size,
        per_rank=given("row", size, xs, dys, varying_x=True),
        shared={"kind": "row", "sizes": [12, 5], "whole": whole_of(module)},
    )
    assert_right(run, module, "row", size, xs, dys, varying_x=True)


@exercise("parallel_linear", aspect="equivalence")
def test_gathered_output_and_whole_input(launch):
    """With gather_output the result is whole; without input_is_parallel the input is; gradients are right either way."""
    xs, dys = [random(2, 4, 6)], [random(2, 4, 6)]
    for kind, options in (("column", {"gather_output": True}), ("row", {"input_is_parallel": False})):
        module = linear(6, 6)
        shared = {"kind": kind, "sizes": [6, 6], "whole": whole_of(module), "options": options}
        run = launch(programs.passes, 2, per_rank=given(kind, 2, xs, dys), shared=shared)
        assert_right(run, module, kind, 2, xs, dys)


@exercise("parallel_linear", aspect="equivalence")
def test_mlp(launch):
    """ParallelMLP has the output and all gradients of the MLP in one process; two backward passes add up."""
    module, xs, dys = mlp(5, 8), [random(2, 3, 5), random(1, 3, 5)], [random(2, 3, 5), random(1, 3, 5)]
    shared = {"kind": "mlp", "sizes": [5, 8], "whole": whole_of(module)}
    run = launch(programs.passes, 4, per_rank=given("mlp", 4, xs, dys), shared=shared)
    assert_right(run, module, "mlp", 4, xs, dys)


@exercise("parallel_linear", aspect="equivalence")
def test_training_from_the_first_weights(launch):
    """Two residual MLPs begin with the same weights on 2 ranks as on one, and after 3 steps of SGD still have them."""
    steps, seeds = [[random(4, 3), random(4, 3)] for _ in range(3)], [7, 20]
    mlps = fresh_mlps(3, 6, seeds)
    at_start = stacked_parts(mlps, 2)
    losses = train(mlps, steps)
    run = launch(programs.train, 2, shared={"sizes": [3, 6], "seeds": seeds, "steps": steps})
    assert_matches(run["at_start"], PerRank(at_start), what="first parameters", **ROUNDED)
    assert_matches(run["losses"], losses, what="losses", **ROUNDED)
    assert_matches(run["at_end"], PerRank(stacked_parts(mlps, 2)), what="parameters after training", **ROUNDED)


@exercise("parallel_linear", aspect="property")
def test_an_mlp_is_two_all_reduces(launch):
    """ParallelMLP calls one all-reduce of x's size forward and one backward, and nothing else."""
    module, xs, dys = mlp(6, 12), [random(2, 5, 6)], [random(2, 5, 6)]
    shared = {"kind": "mlp", "sizes": [6, 12], "whole": whole_of(module)}
    run = launch(programs.passes, 3, per_rank=given("mlp", 3, xs, dys), shared=shared)
    assert_right(run, module, "mlp", 3, xs, dys)
    assert_traffic(run.comm, {"forward": [("all_reduce", 60)], "backward": [("all_reduce", 60)]})


@exercise("parallel_linear", aspect="property")
def test_the_default_generator_is_left_alone(launch):
    """Each rank's default generator stands elsewhere; the first weights do not depend on it, and do not move it."""
    layers = [["column", [4, 6], {"seed": 3}], ["row", [6, 5], {"seed": 11}], ["column", [4, 6], {}]]
    run = launch(programs.fresh, 2, per_rank={"seed": [5, 6]}, shared={"layers": layers})
    kinds = [(first_weight(4, 6, 3), 0, 3), (first_weight(6, 5, 11), 1, 5), (first_weight(4, 6, 0), 0, 3)]
    due = [
        [{"weight": shard(whole, dim, 2)[rank], "bias": torch.zeros(n, dtype=torch.float64)} for whole, dim, n in kinds]
        for rank in range(2)
    ]
    drawn = [torch.rand(3, generator=torch.Generator().manual_seed(seed)) for seed in (5, 6)]
    assert_matches(run["parameters"], PerRank(due), what="first parameters", **ROUNDED)
    assert_matches(run["drawn"], PerRank(drawn), what="what the default generator draws next", rtol=0.0)


@exercise("parallel_linear", aspect="robustness")
def test_sizes_that_do_not_divide_are_refused(launch):
    """Constructors raise ValueError if the dim that is cut cannot be cut evenly; the other dim does not matter."""
    layers = [
        ["column", [6, 7]],
        ["column", [7, 6]],
        ["row", [7, 6]],
        ["row", [6, 7]],
        ["mlp", [6, 8]],
        ["mlp", [7, 6]],
    ]
    run = launch(programs.constructions, 3, shared={"layers": layers})
    for at, call in ((0, "ColumnParallelLinear(6, 7)"), (2, "RowParallelLinear(7, 6)"), (4, "ParallelMLP(6, 8)")):
        assert_raised([errors[at] for errors in run["errors"]], f"{call} on 3 ranks")
    shapes = [[[2, 7], [2]], [[7, 2], [7]], [[2, 7], [2], [7, 2], [7]]]
    assert_matches(run["made"], [None, shapes[0], None, shapes[1], None, shapes[2]], what="shapes of the parameters")


@exercise("parallel_linear", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 2 and 0 hold one MLP, ranks 1 and 3 another, and neither hears of the other."""
    groups = [[2, 0], [1, 3]]
    modules = [mlp(3, 4), mlp(3, 4)]
    xs, dys = [[random(2, 3)], [random(2, 3)]], [[random(2, 3)], [random(2, 3)]]
    of = [0, 1, 0, 1]
    per_rank = {
        "xs": [xs[number] for number in of],
        "dys": [dys[number] for number in of],
        "whole": [whole_of(modules[number]) for number in of],
    }
    run = launch(programs.passes, 4, per_rank=per_rank, shared={"kind": "mlp", "sizes": [3, 4], "groups": groups})
    for number, members in enumerate(groups):
        assert_right(run, modules[number], "mlp", 2, xs[number], dys[number], members=members)


@exercise("parallel_linear", aspect="robustness")
@pytest.mark.parametrize("kind", ["column", "row"])
def test_other_weights_are_refused(launch, kind):
    """load_full raises ValueError for another shape, a missing bias or one too many, and the layer stays as it was."""
    weight, bias = random(4, 6), random(4)
    cut = {"column": (0, 0), "row": (1, None)}[kind]
    with_bias = [weight, bias]
    tries = [[weight.mT.contiguous(), bias], [random(2, 6), random(2)], [random(4, 6), random(5)], [random(4, 6)]]
    shared = {"kind": kind, "sizes": [6, 4], "options": {}, "whole": with_bias, "tries": [*tries, with_bias]}
    run = launch(programs.loads, 2, shared=shared)
    for at, words in enumerate(("of shape (6, 4)", "of shape (2, 6)", "with a bias of shape (5,)", "without a bias")):
        assert_raised([errors[at] for errors in run["errors"]], f"load_full of a weight {words}, where (4, 6) is due,")
    assert_matches(
        PerRank(errors[4] for errors in run["errors"]), "", what="what load_full raises for the right shapes"
    )
    due = [{"weight": w, "bias": b} for w, b in zip(shard(weight, cut[0], 2), shard(bias, cut[1], 2), strict=True)]
    assert_matches(run["parameters"], PerRank(due), what="parameters after load_full was refused")
