"""Public tests of exercise `model_state_bytes`."""

import itertools

import torch
from torch import nn

from course_env.meters import gradient_bytes, optimizer_state_bytes, parameter_bytes, storage_bytes
from course_env.rank_programs import call_each, error_types
from grader.harness import exercise

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


def assert_bytes(launch, calls, expected):
    """Every call returns the whole number that is expected of it."""
    shared = {"function": "model_state_bytes", "calls": calls}
    found = launch(call_each, 1, shared=shared, process_group=False)["values"][0]
    for call, number, right in zip(calls, found, expected, strict=True):
        told = ", ".join(f"{name}={value!r}" for name, value in call.items())
        assert number == right, f"model_state_bytes({told}) is {number}, and it takes {right}"


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
