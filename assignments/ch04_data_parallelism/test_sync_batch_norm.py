"""Public tests of exercise `sync_batch_norm`."""

import pytest
import torch

from assignments.ch04_data_parallelism import programs_sync_batch_norm as programs
from assignments.ch04_data_parallelism.references_sync_batch_norm import (
    assert_light,
    assert_no_digits_lost,
    assert_refused,
    assert_right,
    assert_shape_is_refused,
    batches,
    in_groups,
    network,
    one_process,
    random_norm,
    train,
    training_steps,
)
from course_env.toy_models import tensors_of
from grader.harness import PerRank, assert_matches, exercise


@exercise("sync_batch_norm", aspect="equivalence")
@pytest.mark.parametrize("rows", [(6,), (4, 3), (2, 5, 3), (3, 1, 6, 2)])
def test_like_batch_norm_on_all_rows(launch, rows):
    """Output, all gradients and running statistics are those of nn.BatchNorm1d on the rows of all ranks."""
    norm = random_norm(5)
    values, given = norm.state_dict(), batches(*((count, 5) for count in rows))
    run = launch(programs.sync_batch_norm, len(rows), per_rank=given, shared={"values": dict(values)})
    assert_right(run, one_process(norm, given))


@exercise("sync_batch_norm", aspect="equivalence")
def test_sequences(launch):
    """With x (B, C, L), the statistics of a channel are over rows and positions."""
    norm, given = random_norm(3), batches((2, 3, 4), (5, 3, 4))
    run = launch(programs.sync_batch_norm, 2, per_rank=given, shared={"values": tensors_of(norm)})
    assert_right(run, one_process(norm, given))


@exercise("sync_batch_norm", aspect="equivalence")
def test_a_network_trains_as_on_one_process(launch):
    """After 3 steps of SGD under PyTorch's DDP, with uneven rows, every rank has the parameters and buffers of one process."""
    steps_per_rank = training_steps([(4, 2, 3), (1, 6, 2), (5, 1, 4)])
    module = network()
    given = {"steps": steps_per_rank}
    run = launch(programs.train_with_sync_batch_norm, 3, per_rank=given, shared={"values": tensors_of(module)})
    expected = train(module, steps_per_rank)
    assert_matches(run["at_end"], tensors_of(module), what="parameters and buffers")
    assert_matches(run["y"], PerRank(expected), what="output after eval()")


@exercise("sync_batch_norm", aspect="property")
def test_only_sums_per_channel_are_communicated(launch):
    """For 100 KB of x per rank, each direction all-reduces at most twice, and at most 2 C + 1 elements."""
    norm, given = random_norm(40), batches((330, 40), (320, 40), (340, 40))
    run = launch(programs.sync_batch_norm, 3, per_rank=given, shared={"values": tensors_of(norm)})
    assert_right(run, one_process(norm, given))
    assert_light(run.comm, 40)


@exercise("sync_batch_norm", aspect="property")
def test_evaluation_communicates_nothing(launch):
    """After eval() the running statistics normalise, nothing changes, and no rank communicates."""
    norm = random_norm(4).eval()
    x, values = torch.randn(3, 4, dtype=torch.float64), tensors_of(norm)
    run = launch(programs.sync_batch_norm_without_batches, 2, shared={"x": x, "values": values, "repeats": 2})
    assert_matches(run["ys"], [norm(x).detach()] * 2, what="outputs")
    assert_matches(run["buffers"], dict(norm.named_buffers()), what="buffers")
    assert run.comm.count() == 0, "After eval() there is nothing to communicate."


@exercise("sync_batch_norm", aspect="robustness")
def test_one_row_per_rank(launch):
    """Each rank has a single row, which nn.BatchNorm1d would refuse."""
    norm, given = random_norm(4), batches((1, 4), (1, 4), (1, 4))
    run = launch(programs.sync_batch_norm, 3, per_rank=given, shared={"values": tensors_of(norm)})
    assert_right(run, one_process(norm, given))


@exercise("sync_batch_norm", aspect="robustness")
def test_two_groups_side_by_side(launch):
    """Ranks 0 and 2 share their statistics, ranks 1 and 3 theirs."""
    norm, given, groups = random_norm(3), batches((2, 3), (4, 3), (3, 3), (5, 3)), [[0, 2], [1, 3]]
    values = tensors_of(norm)
    run = launch(programs.sync_batch_norm, 4, per_rank=given, shared={"values": values, "groups": groups})
    assert_right(run, in_groups(norm, given, groups))


@exercise("sync_batch_norm", aspect="robustness")
def test_a_rank_without_rows(launch):
    """A rank whose batch is empty takes part, and has an empty result."""
    norm, given = random_norm(4), batches((3, 4), (0, 4), (2, 4))
    run = launch(programs.sync_batch_norm, 3, per_rank=given, shared={"values": tensors_of(norm)})
    assert_right(run, one_process(norm, given))


@exercise("sync_batch_norm", aspect="robustness")
def test_no_digits_are_lost_far_from_zero(launch):
    """A batch whose mean is a million times its deviation is normalised as well as any other."""
    norm, given = random_norm(3), batches((40, 3), (30, 3))
    given["x"] = [x + 1e6 for x in given["x"]]
    run = launch(programs.sync_batch_norm, 2, per_rank=given, shared={"values": tensors_of(norm)})
    assert_no_digits_lost(run, one_process(norm, given))


@exercise("sync_batch_norm", aspect="robustness")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 4, 3, 3), (2, 4, 1, 4)])
def test_other_shapes_are_refused(launch, shape, training):
    """An x of another shape raises ValueError before any communication, in training and after eval()."""
    assert_shape_is_refused(launch, shape, training)


@exercise("sync_batch_norm", aspect="robustness")
def test_a_single_row_in_all_is_refused(launch):
    """One row on all ranks together has no variance: every rank raises ValueError, and its buffers stay."""
    x = [torch.randn(rows, 4, dtype=torch.float64) for rows in (0, 1)]
    run = launch(programs.failing_sync_batch_norm, 2, per_rank={"x": x}, shared={"num_features": 4})
    assert_refused(run, "one row on all ranks together")
