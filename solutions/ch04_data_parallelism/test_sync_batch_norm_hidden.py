"""Hidden tests of exercise `sync_batch_norm`."""

import pytest
import torch
from torch import nn

from assignments.ch04_data_parallelism import programs_sync_batch_norm as programs
from assignments.ch04_data_parallelism.references_sync_batch_norm import (
    RESULTS,
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


def launch_norm(launch, norm, given, **shared):
    """Run the program on as many ranks as there are batches, from the state of `norm`."""
    return launch(
        programs.sync_batch_norm,
        len(given["x"]),
        per_rank=given,
        shared={"values": tensors_of(norm), **shared},
    )


@exercise("sync_batch_norm", aspect="equivalence")
@pytest.mark.parametrize("rows", [(7, 2), (1, 9, 4, 4)])
def test_other_batches(launch, rows):
    """Results are right for other numbers of rows and channels."""
    norm, given = random_norm(7), batches(*((count, 7) for count in rows))
    assert_right(launch_norm(launch, norm, given), one_process(norm, given))


@exercise("sync_batch_norm", aspect="equivalence")
def test_sequences_of_different_lengths(launch):
    """Ranks may hold sequences of different lengths, and positions count alike."""
    norm, given = random_norm(2), batches((2, 2, 5), (4, 2, 1), (1, 2, 3))
    assert_right(launch_norm(launch, norm, given), one_process(norm, given))


@exercise("sync_batch_norm", aspect="equivalence")
def test_eps_and_momentum(launch):
    """The options mean what they mean in nn.BatchNorm1d."""
    options = {"eps": 0.3, "momentum": 0.45}
    norm, given = random_norm(3, **options), batches((3, 3), (4, 3))
    assert_right(launch_norm(launch, norm, given, options=options), one_process(norm, given))


@exercise("sync_batch_norm", aspect="equivalence")
def test_training_in_groups(launch):
    """Each of two groups trains a network as one process does on the group's rows."""
    groups, values = [[0, 3], [1, 2]], tensors_of(network())
    steps = training_steps([(2, 3, 4, 1), (5, 1, 2, 3)])
    for members in groups:
        for place in range(2):
            num_rows = sum(len(steps[rank][place][0]) for rank in members)
            for rank in members:
                steps[rank][place][2] = num_rows
    run = launch(
        programs.train_with_sync_batch_norm,
        4,
        per_rank={"steps": steps},
        shared={"values": values, "groups": groups},
    )
    at_end = {}
    for members in groups:
        module = network()
        module.load_state_dict(values)
        train(module, [steps[rank] for rank in members])
        at_end |= dict.fromkeys(members, tensors_of(module))
    assert_matches(run["at_end"], PerRank(at_end[rank] for rank in range(4)), what="parameters and buffers")


@exercise("sync_batch_norm", aspect="property")
def test_sequences_do_not_travel(launch):
    """What is communicated depends on the channels alone, not on rows and positions."""
    norm, given = random_norm(24), batches((9, 24, 64), (8, 24, 64))
    run = launch_norm(launch, norm, given)
    assert_right(run, one_process(norm, given))
    assert_light(run.comm, 24)


@exercise("sync_batch_norm", aspect="property")
def test_ranks_without_rows_communicate_as_the_others(launch):
    """A rank without rows takes part in the same few all-reduces."""
    norm, given = random_norm(3), batches((4, 3), (0, 3), (2, 3))
    run = launch_norm(launch, norm, given)
    assert_right(run, one_process(norm, given))
    assert_light(run.comm, 3)


@exercise("sync_batch_norm", aspect="robustness")
def test_no_digits_of_sequences_are_lost(launch):
    """Sequences whose means are 100 000 times their deviations are normalised as well as any other."""
    norm, given = random_norm(3), batches((4, 3, 5), (3, 3, 5))
    given["x"] = [x - 1e5 for x in given["x"]]
    assert_no_digits_lost(launch_norm(launch, norm, given), one_process(norm, given))


@exercise("sync_batch_norm", aspect="robustness")
def test_a_group_of_one_and_a_group_in_another_order(launch):
    """A group may be a single rank, and its ranks may stand in any order."""
    norm, given, groups = random_norm(2), batches((3, 2), (4, 2), (5, 2)), [[2, 0], [1]]
    assert_right(launch_norm(launch, norm, given, groups=groups), in_groups(norm, given, groups))


@exercise("sync_batch_norm", aspect="robustness")
def test_float32(launch):
    """In float32 the results are as accurate as those of nn.BatchNorm1d."""
    given = {name: [one.float() for one in ones] for name, ones in batches((9, 5), (4, 5)).items()}
    norm, exact_norm = random_norm(5).float(), nn.BatchNorm1d(5).double()
    values = tensors_of(norm)
    exact_norm.load_state_dict(values)
    exact = one_process(exact_norm, {name: [one.double() for one in ones] for name, ones in given.items()})
    run = launch(programs.sync_batch_norm, 2, per_rank=given, shared={"values": values})
    expected = one_process(norm, given)
    for name in RESULTS[:-1]:
        due, best = (PerRank(found[rank][name] for rank in range(2)) for found in (expected, exact))
        assert_matches(run[name], due, exact=best, what=name)


@exercise("sync_batch_norm", aspect="robustness")
def test_a_new_one_is_as_a_new_batch_norm(launch):
    """Names, shapes, dtypes and first values are those of nn.BatchNorm1d; weight and bias are its parameters."""
    run = launch(programs.fresh_sync_batch_norm, 1, shared={"num_features": 4})
    due = dict(nn.BatchNorm1d(4).state_dict())
    assert_matches(run["state"], due, rtol=0.0, what="state_dict()")
    assert_matches(run["loaded"], due, rtol=0.0, what="state_dict() of an nn.BatchNorm1d that loaded it")
    assert_matches(run["trainable"], ["bias", "weight"], what="parameters")


@exercise("sync_batch_norm", aspect="robustness")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(), (2, 3), (1, 4, 3, 4)])
def test_shapes_that_might_broadcast_are_refused(launch, shape, training):
    """An x of no dimension, of other channels or of four dimensions raises ValueError, also where it would broadcast."""
    assert_shape_is_refused(launch, shape, training)


@exercise("sync_batch_norm", aspect="robustness")
def test_a_single_row_in_all_is_refused(launch):
    """One row on all ranks together has no variance: every rank raises ValueError, and its buffers stay."""
    x = [torch.randn(rows, 4, dtype=torch.float64) for rows in (0, 1, 0)]
    run = launch(programs.failing_sync_batch_norm, 3, per_rank={"x": x}, shared={"num_features": 4})
    assert_refused(run, "one row on all ranks together")
