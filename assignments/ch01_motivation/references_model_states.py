"""Baselines and assertions that the public and the hidden tests of model_states.py share."""

import torch
from torch import nn

from course_env.meters import gradient_bytes, optimizer_state_bytes, parameter_bytes, storage_bytes
from course_env.rank_programs import call_each

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
