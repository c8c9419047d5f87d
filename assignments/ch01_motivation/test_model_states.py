"""Public tests of exercise `model_state_bytes`."""

from assignments.ch01_motivation.references_model_states import assert_bytes
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, exercise


@exercise("model_state_bytes", aspect="equivalence")
def test_what_a_trained_model_holds(launch):
    """The bytes are those of small models that have really been trained for a step."""
    kinds = [
        ("sgd", "fp32", False, 101 * 8),
        ("momentum", "amp_fp16", False, 74 * 12),
        ("adam", "amp_fp16", False, 53 * 16),
        ("momentum", "pure_bf16", False, 38 * 6),
        ("sgd", "pure_bf16", True, 29 * 8),
    ]
    sizes = (101, 74, 53, 38, 29)
    calls = [
        {"n_params": n, "optimizer": optimizer, "precision": precision, "fp32_grads": fp32_grads}
        for n, (optimizer, precision, fp32_grads, _) in zip(sizes, kinds, strict=True)
    ]
    assert_bytes(launch, calls, [held for *_, held in kinds])


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
    call = {"n_params": 11, "optimizer": "momentum", "precision": "fp32", "fp32_grads": True}
    assert_bytes(launch, [call], [11 * 12])


@exercise("model_state_bytes", aspect="robustness")
def test_unknown_words_are_refused(launch):
    """An optimizer or a precision that is not in the list raises ValueError."""
    calls = [
        {"n_params": 8, "optimizer": "lion", "precision": "fp32"},
        {"n_params": 8, "optimizer": "adam", "precision": "fp8"},
        {"n_params": 8, "optimizer": "adam", "precision": "fp32"},
    ]
    run = launch(call_each, 1, shared={"function": "model_state_bytes", "calls": calls}, process_group=False)
    assert_each_raises(run, "model_state_bytes", calls, ["ValueError", "ValueError", ""])
