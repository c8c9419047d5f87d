"""Hidden tests of exercise `naive_ddp`."""

from fractions import Fraction

import pytest

from assignments.ch04_data_parallelism import programs_ddp as programs
from assignments.ch04_data_parallelism.references import (
    FLAG_BYTES,
    TINY_GPT,
    assert_start_traffic,
    assert_trains_like,
    batch,
    random_values,
    replicas,
    steps_for,
    trainable_bytes,
)
from assignments.ch04_data_parallelism.references_naive_ddp import assert_step_traffic
from course_env.layout import Layout
from grader.harness import PerRank, assert_matches, exercise
from solutions.ch03_overview_of_parallelism.communication import comm_bytes_per_step


@exercise("naive_ddp", aspect="equivalence")
def test_a_transformer(launch):
    """A GPT with tied embeddings trains on three ranks as in one process."""
    values, steps = [random_values(TINY_GPT) for _ in range(3)], steps_for(3, TINY_GPT, num_steps=2)
    run = launch(programs.train, 3, per_rank={"values": values, "steps": steps}, shared={"model": TINY_GPT})
    assert_trains_like(run, replicas(TINY_GPT, values[0], steps))


@exercise("naive_ddp", aspect="robustness")
def test_what_ranks_use_changes_from_step_to_step(launch):
    """If only some ranks use a parameter in a step, its gradient is averaged; if none does, it is left alone."""
    used = [
        [("right",), ("left", "right"), ("right",), ("left",)],
        [("left",), ("left",), ("right",), ("left",)],
        [("right", "left"), ("right",), ("right",), ()],
    ]
    steps = [[[batch("branchy", 2, branches=branches)] for branches in of_rank] for of_rank in used]
    values = [random_values("branchy") for _ in range(3)]
    shared = {"model": "branchy", "weight_decay": 0.2}
    # Without any branch the output does not depend on the parameters: let rank 2 use what rank 0 uses, but in vain.
    steps[2][3] = [batch("branchy", 2, branches=("left",))]
    run = launch(programs.train, 3, per_rank={"values": values, "steps": steps}, shared=shared)
    assert_trains_like(run, replicas("branchy", values[0], steps, weight_decay=0.2))


@exercise("naive_ddp", aspect="equivalence")
def test_what_has_accumulated_is_averaged(launch):
    """After several backward passes the average is that of their sums."""
    steps = [[[batch("mlp", 2) for _ in range(3)] for _ in range(2)] for _ in range(2)]
    values = [random_values("mlp") for _ in range(2)]
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared={"model": "mlp"})
    assert_trains_like(run, replicas("mlp", values[0], steps))


@exercise("naive_ddp", aspect="robustness")
def test_what_one_of_several_passes_used(launch):
    """After several backward passes the average is that of their sums, even if only one of them used a parameter."""
    branches = [[("left", "right"), ("right",)], [("right",), ("right",)]]
    steps = [[[batch("branchy", 2, branches=one) for one in of_rank] for _ in range(2)] for of_rank in branches]
    values = [random_values("branchy") for _ in range(2)]
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared={"model": "branchy"})
    assert_trains_like(run, replicas("branchy", values[0], steps))


@exercise("naive_ddp", aspect="property")
@pytest.mark.parametrize("model", ["tied", "batch_norm"])
def test_traffic_of_steps(launch, model):
    """Steps all-reduce the gradients of trainable parameters, and buffers are not sent again."""
    values, steps = random_values(model), steps_for(3, model, num_steps=2, rows=4)
    run = launch(programs.train, 3, per_rank={"steps": steps}, shared={"model": model, "values": values})
    assert_trains_like(run, replicas(model, values, steps))
    run.comm.assert_only("broadcast", "all_reduce")
    run.comm.assert_waited_for()
    assert_start_traffic(run.comm, values, members=[0, 1, 2])
    assert_step_traffic(run.comm, model, num_steps=2, members=[0, 1, 2])


@exercise("naive_ddp", aspect="property")
def test_traffic_in_a_group_of_some_of_the_ranks(launch):
    """In a group of two of four ranks, a step costs what it costs two ranks."""
    members, values, steps = [2, 0], random_values("wide"), steps_for(4, "wide", num_steps=1)
    shared = {"model": "wide", "values": values, "members": members}
    run = launch(programs.train, 4, per_rank={"steps": steps}, shared=shared)
    on_rank_2, on_rank_0 = replicas("wide", values, [steps[2], steps[0]])
    assert_trains_like(run, [on_rank_0, None, on_rank_2, None])
    run.comm.assert_only("broadcast", "all_reduce")
    assert_start_traffic(run.comm, values, members)
    assert_step_traffic(run.comm, "wide", num_steps=1, members=members)


@exercise("naive_ddp", aspect="property")
def test_traffic_is_what_chapter_3_predicts(launch):
    """A step of a GPT costs what the model of chapter 3 says, plus at most the flags."""
    values, steps = random_values(TINY_GPT), steps_for(3, TINY_GPT, num_steps=1)
    run = launch(programs.train, 3, per_rank={"steps": steps}, shared={"model": TINY_GPT, "values": values})
    assert_trains_like(run, replicas(TINY_GPT, values, steps))
    num_bytes, num_trainable = trainable_bytes(TINY_GPT)
    due = comm_bytes_per_step(TINY_GPT, Layout(dp=3), n_params=num_bytes // 8, bytes_per_value=8)["dp"]
    for sent in run.comm.bytes_sent_per_rank("all_reduce"):
        assert due <= sent <= due * (1 + Fraction(FLAG_BYTES * num_trainable, num_bytes))


@exercise("naive_ddp", aspect="robustness")
@pytest.mark.parametrize("members", [[2, 0], [3, 0, 1], [1]])
def test_groups_of_any_ranks(launch, members):
    """In any group, every tensor starts as on the group's first rank, and averages are over the group's ranks."""
    values, used = [random_values("branchy") for _ in range(4)], [("left",), ("left", "right"), ("right",), ("left",)]
    steps = [[[batch("branchy", 3, branches=branches)] for _ in range(2)] for branches in used]
    shared = {"model": "branchy", "members": members}
    run = launch(programs.train, 4, per_rank={"values": values, "steps": steps}, shared=shared)
    expected = dict(zip(members, replicas("branchy", values[members[0]], [steps[m] for m in members]), strict=True))
    assert_trains_like(run, [expected.get(rank) for rank in range(4)])


@exercise("naive_ddp", aspect="robustness")
def test_ranks_without_gradients_in_a_group(launch):
    """In a group of three, ranks that did no backward are averaged with the one that did, in any step."""
    members, values = [3, 0, 2], [random_values("tied") for _ in range(4)]
    steps = [[[batch("tied", 2)] if number == rank else [] for number in (2, 0, 3)] for rank in range(4)]
    shared = {"model": "tied", "members": members, "weight_decay": 0.1}
    run = launch(programs.train, 4, per_rank={"values": values, "steps": steps}, shared=shared)
    of_members = replicas("tied", values[3], [steps[rank] for rank in members], weight_decay=0.1)
    expected = dict(zip(members, of_members, strict=True))
    assert_trains_like(run, [expected.get(rank) for rank in range(4)])
    run.comm.assert_waited_for()


@exercise("naive_ddp", aspect="robustness")
def test_parameters_of_two_dtypes(launch):
    """A float32 layer between float64 ones keeps its dtype, and its gradients are averages."""
    values, steps = [random_values("mixed") for _ in range(2)], steps_for(2, "mixed", num_steps=1)
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared={"model": "mixed"})
    expected = replicas("mixed", values[0], steps)
    assert_matches(run["at_start"], values[0], rtol=0.0, atol=0.0, what="at_start")
    assert_matches(run["grads"], PerRank(one["grads"] for one in expected), rtol=1e-4, atol=1e-6, what="grads")
