"""Public tests of exercise `naive_ddp`."""

from fractions import Fraction

import pytest

from assignments.ch04_data_parallelism import programs_ddp as programs
from assignments.ch04_data_parallelism.references import (
    TINY_GPT,
    assert_start_traffic,
    assert_trains_like,
    batch,
    one_process,
    random_values,
    replicas,
    steps_for,
    zeros_and_nothing,
)
from assignments.ch04_data_parallelism.references_naive_ddp import assert_step_traffic
from grader.harness import PerRank, assert_matches, exercise


@exercise("naive_ddp", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_train_as_one_process_would_on_the_global_batch(launch, world_size, device):
    """After every step, parameters and gradients are those of one process that sees all ranks' data."""
    with device:
        values = [random_values("mlp") for _ in range(world_size)]
        steps = steps_for(world_size, "mlp")
        expected = one_process("mlp", values[0], steps)
    per_rank = {"values": values, "steps": steps}
    run = launch(programs.train, world_size, per_rank=per_rank, shared={"model": "mlp"}, on="best")
    assert_trains_like(run, [expected] * world_size)


@exercise("naive_ddp", aspect="equivalence")
def test_tied_and_frozen_parameters(launch):
    """A tied weight gets the average of its whole gradient; a frozen layer starts equal on all ranks and has no gradient."""
    values, steps = [random_values("tied") for _ in range(2)], steps_for(2, "tied")
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared={"model": "tied"})
    assert_trains_like(run, [one_process("tied", values[0], steps)] * 2)


@exercise("naive_ddp", aspect="equivalence")
def test_buffers_start_equal(launch):
    """Every buffer starts as on rank 0; afterwards the statistics of BatchNorm are each rank's own."""
    values, steps = [random_values("batch_norm") for _ in range(2)], steps_for(2, "batch_norm", rows=5)
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared={"model": "batch_norm"})
    assert_trains_like(run, replicas("batch_norm", values[0], steps))


@exercise("naive_ddp", aspect="property")
@pytest.mark.parametrize("model", ["tied", "batch_norm", "wide"])
def test_the_start_broadcasts_every_tensor_once(launch, model):
    """Wrapping a module broadcasts its parameters and buffers, each once, and nothing else."""
    values = [random_values(model) for _ in range(2)]
    run = launch(programs.train, 2, per_rank={"values": values}, shared={"model": model, "steps": []})
    assert_trains_like(run, replicas(model, values[0], [[], []]))
    run.comm.assert_only("broadcast")
    assert_start_traffic(run.comm, values[0], members=[0, 1])


@exercise("naive_ddp", aspect="property")
@pytest.mark.parametrize(("model", "world_size"), [("wide", 2), ("wide", 4), (TINY_GPT, 3)])
def test_a_step_all_reduces_every_gradient_once(launch, model, world_size):
    """A step costs each rank 2 (N - 1) / N times the bytes of the gradients: the ring all-reduce of chapter 3's model."""
    values, steps = random_values(model), steps_for(world_size, model, num_steps=2)
    run = launch(programs.train, world_size, per_rank={"steps": steps}, shared={"model": model, "values": values})
    assert_trains_like(run, replicas(model, values, steps))
    run.comm.assert_only("broadcast", "all_reduce")
    run.comm.assert_waited_for()
    assert_start_traffic(run.comm, values, members=list(range(world_size)))
    assert_step_traffic(run.comm, model, num_steps=2, members=list(range(world_size)))


@exercise("naive_ddp", aspect="property")
def test_a_gradient_travels_in_its_own_dtype(launch):
    """The gradients of a float32 layer between float64 ones cost 4 bytes an element."""
    values, steps = random_values("mixed"), steps_for(2, "mixed", num_steps=1)
    run = launch(programs.train, 2, per_rank={"steps": steps}, shared={"model": "mixed", "values": values})
    expected = PerRank(one["grads"] for one in replicas("mixed", values, steps))
    assert_matches(run["grads"], expected, rtol=1e-4, atol=1e-6, what="grads")
    assert_step_traffic(run.comm, "mixed", num_steps=1, members=[0, 1])


@exercise("naive_ddp", aspect="robustness")
def test_a_group_of_some_of_the_ranks(launch):
    """In the group of ranks 3 and 1, all starts as on rank 3, two gradients are averaged, and ranks 0 and 2 do nothing."""
    members, values, steps = [3, 1], [random_values("mlp") for _ in range(4)], steps_for(4, "mlp", num_steps=2)
    shared = {"model": "mlp", "members": members}
    run = launch(programs.train, 4, per_rank={"values": values, "steps": steps}, shared=shared)
    expected = one_process("mlp", values[3], [steps[3], steps[1]])
    assert_trains_like(run, [None, expected, None, expected])
    run.comm.assert_only("broadcast", "all_reduce")
    assert_start_traffic(run.comm, values[0], members)
    assert_step_traffic(run.comm, "mlp", num_steps=2, members=members)


@exercise("naive_ddp", aspect="robustness")
def test_a_branch_that_one_rank_does_not_use(launch):
    """Where a rank has no gradient it counts as zeros; where no rank has one, it stays None."""
    values = [random_values("branchy") for _ in range(3)]
    used = [("left", "right"), ("left",), ("left",)]
    steps = [[[batch("branchy", 2, branches=branches)] for _ in range(3)] for branches in used]
    run = launch(
        programs.train,
        3,
        per_rank={"values": values, "steps": steps},
        shared={"model": "branchy", "weight_decay": 0.1},
    )
    assert_trains_like(run, replicas("branchy", values[0], steps, weight_decay=0.1))
    run.comm.assert_only("broadcast", "all_reduce")
    run.comm.assert_waited_for()
    # 168 of 792 bytes are of the branch "spare", which no rank uses and which may be left out.
    assert_step_traffic(run.comm, "branchy", num_steps=3, members=[0, 1, 2], least_share=Fraction(624, 792))


@exercise("naive_ddp", aspect="robustness")
def test_a_gradient_of_zeros_is_one(launch):
    """Where one rank's gradient is all zeros and the other has none, both end with zeros."""
    values, steps = zeros_and_nothing()
    run = launch(programs.train, 2, per_rank={"steps": steps}, shared={"model": "branchy", "values": values})
    assert_matches(run["grads"], PerRank(one["grads"] for one in replicas("branchy", values, steps)), what="grads")


@exercise("naive_ddp", aspect="robustness")
def test_a_rank_without_any_gradient(launch):
    """A rank that did no backward in a step takes part all the same, and gets the averages; without any, all keep None."""
    values, one = [random_values("mlp") for _ in range(2)], batch("mlp", 2)
    steps = [[[one], [batch("mlp", 2)], []], [[batch("mlp", 2)], [], []]]
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared={"model": "mlp"})
    assert_trains_like(run, replicas("mlp", values[0], steps))
