"""Hidden tests of exercise `model_state_bytes`."""

import itertools

import torch

from assignments.ch01_motivation.references_model_states import OPTIMIZERS, assert_bytes, trained
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


@exercise("model_state_bytes", aspect="equivalence")
def test_what_other_trained_models_hold(launch):
    """Models of other sizes hold, with and without gradients summed in fp32, what is said of them."""
    calls, expected = [], []
    kinds = itertools.product(OPTIMIZERS, ("fp32", "amp_fp16", "pure_bf16"), (False, True))
    for optimizer, precision, fp32_grads in kinds:
        n_params, held = trained(int(torch.randint(4, 90, ())), optimizer, precision, fp32_grads=fp32_grads)
        calls.append({"n_params": n_params, "optimizer": optimizer, "precision": precision, "fp32_grads": fp32_grads})
        expected.append(held)
    assert_bytes(launch, calls, expected)


@exercise("model_state_bytes", aspect="property")
def test_large_models_are_counted_in_whole_numbers(launch):
    """The bytes of a very large model are exact."""
    n_params = 10**17 + 1
    calls = [{"n_params": n_params, "optimizer": "adam", "precision": "amp_fp16", "fp32_grads": True}]
    assert_bytes(launch, calls, [20 * n_params])


@exercise("model_state_bytes", aspect="property")
def test_the_smallest_and_the_largest_state(launch):
    """What two bytes for everything save is known for each optimizer."""
    calls = [{"n_params": 10, "optimizer": optimizer, "precision": "pure_bf16"} for optimizer in OPTIMIZERS]
    assert_bytes(launch, calls, [40, 60, 80])


@exercise("model_state_bytes", aspect="robustness")
def test_words_are_taken_as_they_are(launch):
    """Other spellings raise ValueError, and a model without parameters takes no bytes."""
    calls = [
        {"n_params": 8, "optimizer": "Adam", "precision": "fp32"},
        {"n_params": 8, "optimizer": "adam", "precision": "bf16"},
        {"n_params": 0, "optimizer": "adam", "precision": "fp32"},
    ]
    run = launch(call_each, 1, shared={"function": "model_state_bytes", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError", "ValueError", ""]
    assert run["values"][0][2] == 0
