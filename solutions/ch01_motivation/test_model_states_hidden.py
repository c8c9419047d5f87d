"""Hidden tests of exercise `model_state_bytes`."""

import itertools

import torch
from torch import nn

from assignments.ch01_motivation.references_model_states import assert_bytes
from course_env.meters import gradient_bytes, optimizer_state_bytes, parameter_bytes, storage_bytes
from course_env.rank_programs import call_each
from grader.harness import assert_each_raises, exercise

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adam": lambda parameters: torch.optim.AdamW(parameters, lr=0.1),
}


def trained(n_inner, optimizer, precision, *, fp32_grads=False):
    """Train a model for a step as `precision` says; return its number of parameters and the bytes that are held then."""
    model = nn.Sequential(nn.Linear(5, n_inner), nn.Linear(n_inner, 3))
    if precision == "amp_fp16":
        model.to(torch.float16)
    if precision == "pure_bf16":
        model.to(torch.bfloat16)
    is_mixed = precision == "amp_fp16"
    masters = [p.detach().float().requires_grad_() for p in model.parameters()] if is_mixed else []
    updating = OPTIMIZERS[optimizer](masters or model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    sums = [p.grad.float() for p in model.parameters()] if fp32_grads and precision != "fp32" else []
    for master, parameter in zip(masters, model.parameters(), strict=bool(masters)):
        master.grad = parameter.grad.float()  # of which each lives for its own update only
    updating.step()
    held = parameter_bytes(model) + gradient_bytes(model) + optimizer_state_bytes(updating)
    return sum(p.numel() for p in model.parameters()), held + storage_bytes(masters) + storage_bytes(sums)


@exercise("model_state_bytes", aspect="equivalence")
def test_what_other_trained_models_hold(launch):
    """Models that were trained with each optimizer in each precision hold, with fp32 gradients or not, what is said of them."""
    calls, expected = [], []
    kinds = itertools.product(OPTIMIZERS, ("fp32", "amp_fp16", "pure_bf16"), (False, True))
    for optimizer, precision, fp32_grads in kinds:
        n_params, held = trained(int(torch.randint(4, 90, ())), optimizer, precision, fp32_grads=fp32_grads)
        calls.append({"n_params": n_params, "optimizer": optimizer, "precision": precision, "fp32_grads": fp32_grads})
        expected.append(held)
    assert_bytes(launch, calls, expected, "as many bytes are held after a step of training")


@exercise("model_state_bytes", aspect="property")
def test_large_models_are_counted_in_whole_numbers(launch):
    """The bytes of a very large model are exact."""
    n_params = 10**17 + 1
    calls = [{"n_params": n_params, "optimizer": "adam", "precision": "amp_fp16", "fp32_grads": True}]
    assert_bytes(launch, calls, [20 * n_params], "20 bytes a parameter, as a whole number")


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
    assert_each_raises(run, "model_state_bytes", calls, ["ValueError", "ValueError", ""])
    empty = run["values"][0][2]
    assert empty == 0, f"a model without parameters takes {empty!r} bytes, and none are due"
