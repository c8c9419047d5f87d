"""Baselines and assertions that the public and the hidden tests of model_states.py share."""

from assignments.ch01_motivation.references import telling
from course_env.rank_programs import call_each
from grader.harness import assert_each_returns


def assert_bytes(launch, calls, expected, why=None):
    """Every call returns the whole number that is expected of it."""
    run = launch(call_each, 1, shared={"function": "model_state_bytes", "calls": calls}, process_group=False)
    wrong = {}
    for call, right in zip(calls, expected, strict=True):
        for name, more in _bytes_more(**call).items():
            wrong.setdefault(name, []).append(right + more * call["n_params"])
    assert_each_returns(run, "model_state_bytes", calls, expected, why=why, mistakes=telling(wrong, expected))


def _bytes_more(n_params, optimizer, precision, *, fp32_grads=False):
    """Return by how many bytes a parameter each of some mistakes is off."""
    del n_params
    count = {"sgd": 0, "momentum": 1, "adam": 2}[optimizer]
    mixed, bf16, fp32 = (precision == kind for kind in ("amp_fp16", "pure_bf16", "fp32"))
    return {
        "the fp32 master copy of mixed precision is left out": -4 * mixed,
        "the fp32 master copy takes the place of the 2-byte parameters, and both are due": -2 * mixed,
        "pure_bf16 has no fp32 master copy": 4 * bf16,
        "the optimizer's numbers take 4 bytes each in mixed precision, not 2": -2 * count * mixed,
        "the optimizer's numbers take 2 bytes each in pure_bf16, not 4": 2 * count * bf16,
        "gradients take 2 bytes in mixed precision, not 4": 2 * mixed,
        "with fp32 the gradients are the fp32 copy already, and nothing is added": 4 * (fp32 and fp32_grads),
        "the fp32 copy takes the place of the 2-byte gradients, and both are due": -2 * (not fp32 and fp32_grads),
        "the fp32 copy of the gradients is left out": -4 * (not fp32 and fp32_grads),
        "the gradients are left out": -4 if fp32 else -2,
        "momentum keeps one number per parameter, not two": (2 if bf16 else 4) * (optimizer == "momentum"),
        "adam counts its steps once per tensor, not once per parameter": (2 if bf16 else 4) * (optimizer == "adam"),
        "adam keeps two numbers per parameter, not one": -(2 if bf16 else 4) * (optimizer == "adam"),
    }
