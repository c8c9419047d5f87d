"""Public tests of exercise `model_state_bytes`."""

import itertools

import torch

from assignments.ch01_motivation.references_model_states import OPTIMIZERS, assert_bytes, trained
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise


@exercise("model_state_bytes", aspect="equivalence")
def test_what_a_trained_model_holds(launch):
    """The bytes are those of a small model that has really been trained for a step."""
    calls, expected = [], []
    for optimizer, precision in itertools.product(OPTIMIZERS, ("fp32", "amp_fp16", "pure_bf16")):
        n_params, held = trained(int(torch.randint(4, 40, ())), optimizer, precision)
        calls.append({"n_params": n_params, "optimizer": optimizer, "precision": precision})
        expected.append(held)
    assert_bytes(launch, calls, expected)


@exercise("model_state_bytes", aspect="property")
def test_bytes_per_parameter_of_adam(launch):
    """Adam takes 16 bytes a parameter in fp32 as in mixed precision, and 20 with gradients summed in fp32."""
    calls = [
        {"n_params": 1, "optimizer": "adam", "precision": "fp32"},
        {"n_params": 1, "optimizer": "adam", "precision": "amp_fp16"},
        {"n_params": 1, "optimizer": "adam", "precision": "amp_fp16", "fp32_grads": True},
    ]
    assert_bytes(launch, calls, [16, 16, 20])


@exercise("model_state_bytes", aspect="property")
def test_gradients_of_fp32_are_copied_nowhere(launch):
    """Where gradients are in fp32 already, there is no second copy of them."""
    n_params, held = trained(11, "momentum", "fp32", fp32_grads=True)
    call = {"n_params": n_params, "optimizer": "momentum", "precision": "fp32", "fp32_grads": True}
    assert_bytes(launch, [call], [held])


@exercise("model_state_bytes", aspect="robustness")
def test_unknown_words_are_refused(launch):
    """An optimizer or a precision that is not in the list raises ValueError."""
    calls = [
        {"n_params": 8, "optimizer": "lion", "precision": "fp32"},
        {"n_params": 8, "optimizer": "adam", "precision": "fp8"},
    ]
    run = launch(call_each, 1, shared={"function": "model_state_bytes", "calls": calls}, process_group=False)
    assert error_types(run["errors"][0]) == ["ValueError"] * 2
