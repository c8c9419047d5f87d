"""Public tests of exercise `accumulate_step`."""

import pytest

from assignments.ch04_data_parallelism import programs
from assignments.ch04_data_parallelism.test_naive_ddp import batch, one_process, random_values, trainable_bytes
from grader.harness import PerRank, assert_matches, exercise
from grader.harness.mistake import Mistake


def steps_of(world_size, model, rows, num_steps=2):
    """Return for each rank its steps, each a list of micro-batches [x, y] with these numbers of rows."""
    return [[[pair(batch(model, n)) for n in rows] for _ in range(num_steps)] for _ in range(world_size)]


def pair(one):
    """Return a batch as [x, y]."""
    return [one["x"], one["y"]]


def joined(steps):
    """Return the same rows as steps of one pass each, for `one_process`."""
    return [[[_join(micro_batches)] for micro_batches in of_rank] for of_rank in steps]


def _join(micro_batches):
    xs, ys = zip(*micro_batches, strict=True)
    return {"x": programs.torch.cat(xs), "y": programs.torch.cat(ys)}


def assert_trained(run, model, values, steps):
    """Assert that every rank ended where one process ends that trains on all rows of all ranks."""
    assert_matches(run["at_end"], one_process(model, values, joined(steps))["at_end"], previous=values, what="at_end")


def assert_one_sync(run, num_micro_batches, num_steps):
    """All passes but the last of each step run inside no_sync(), then finish_grad_sync() and the optimizer's step."""
    calls = ["pass inside no_sync"] * (num_micro_batches - 1) + ["pass", "finish_grad_sync", "step"]
    assert_matches(run["calls"], calls * num_steps, what="the order of calls")


@exercise("accumulate_step", aspect="equivalence")
@pytest.mark.parametrize(("world_size", "rows"), [(1, [4, 4]), (2, [2, 2, 2, 2]), (3, [5, 1, 2]), (2, [6])])
def test_a_step_is_that_of_one_large_batch(launch, world_size, rows):
    """Micro-batches, equal or not, train as one process would on all rows of all ranks at once."""
    values, steps = random_values("mlp"), steps_of(world_size, "mlp", rows)
    shared = {"model": "mlp", "values": values}
    run = launch(programs.accumulate, world_size, per_rank={"steps": steps}, shared=shared)
    assert_trained(run, "mlp", values, steps)


@exercise("accumulate_step", aspect="equivalence")
def test_the_result_is_the_mean_loss_of_the_rank(launch):
    """The result is the mean over all rows of this rank, whatever the sizes of the micro-batches."""
    values, steps = random_values("mlp"), steps_of(2, "mlp", [5, 1, 2], num_steps=1)
    run = launch(programs.accumulate, 2, per_rank={"steps": steps}, shared={"model": "mlp", "values": values})
    module = programs.build("mlp")
    programs.load_tensors(module, values)
    wholes = [of_rank[0][0] for of_rank in joined(steps)]
    losses = [programs.loss_of(module(whole["x"]), whole["y"]).detach() for whole in wholes]
    assert_matches(run["losses"], PerRank([loss] for loss in losses), what="losses")
    assert run["has_graph"] == (False, False), "The loss must come without its graph: detach() it."


@exercise("accumulate_step", aspect="property")
@pytest.mark.parametrize("num_micro_batches", [1, 4])
def test_gradients_are_communicated_once(launch, num_micro_batches):
    """However many micro-batches a step has, every gradient goes through one all-reduce."""
    values, steps = random_values("wide"), steps_of(2, "wide", [2] * num_micro_batches, num_steps=1)
    run = launch(programs.accumulate, 2, per_rank={"steps": steps}, shared={"model": "wide", "values": values})
    assert_trained(run, "wide", values, steps)
    due, _ = trainable_bytes("wide")
    for rank in range(2):
        carried = run.comm.payload_bytes("all_reduce", rank=rank)
        mistake = Mistake.MORE_COMMUNICATION if carried > due else Mistake.CHECK
        assert carried == due, f"{mistake}\nRank {rank} all-reduced {carried} bytes; the gradients have {due}."


@exercise("accumulate_step", aspect="property")
def test_only_the_last_pass_is_outside_no_sync(launch):
    """Of three micro-batches, two run inside no_sync(); then come one outside, finish_grad_sync() and one step()."""
    values, steps = random_values("mlp"), steps_of(2, "mlp", [2, 2, 2])
    run = launch(programs.accumulate, 2, per_rank={"steps": steps}, shared={"model": "mlp", "values": values})
    assert_trained(run, "mlp", values, steps)
    assert_one_sync(run, num_micro_batches=3, num_steps=2)


@exercise("accumulate_step", aspect="property")
def test_memory_does_not_grow_with_the_number_of_micro_batches(launch):
    """The activations of one forward pass at a time are held for backward."""
    values, steps = random_values("mlp"), steps_of(2, "mlp", [2] * 5, num_steps=1)
    run = launch(programs.accumulate, 2, per_rank={"steps": steps}, shared={"model": "mlp", "values": values})
    assert_trained(run, "mlp", values, steps)
    for rank, peak in enumerate(run["peak_passes"]):
        assert peak == 1, (
            f"Rank {rank} held the activations of {peak} passes at once: call backward() after each forward."
        )


@exercise("accumulate_step", aspect="robustness")
def test_a_group_of_some_of_the_ranks(launch):
    """Ranks 3 and 1 train on their rows; ranks 0 and 2 take no part."""
    members, values, steps = [3, 1], random_values("mlp"), steps_of(4, "mlp", [3, 2])
    shared = {"model": "mlp", "values": values, "members": members}
    run = launch(programs.accumulate, 4, per_rank={"steps": steps}, shared=shared)
    expected = one_process("mlp", values, joined([steps[3], steps[1]]))["at_end"]
    assert_matches(run["at_end"], PerRank([None, expected, None, expected]), what="at_end")
