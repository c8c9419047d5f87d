"""Widths of torch's own types, looked up by precision."""

import enum

import torch


class Kept(enum.IntEnum):
    """How many numbers an optimizer keeps."""

    sgd = 0
    momentum = 1
    adam = 2


def model_state_bytes(n_params, *, optimizer, precision, fp32_grads=False):
    """Return the bytes of all states."""
    types = {"fp32": torch.float32, "amp_fp16": torch.float16, "pure_bf16": torch.bfloat16}
    try:
        kept, width = Kept[optimizer], types[precision].itemsize
    except KeyError as error:
        raise ValueError(f"unknown word {error}") from error
    full = torch.float32.itemsize
    mixed = precision == "amp_fp16"
    per_param = width + width + mixed * full + int(kept) * (full if mixed else width)
    if fp32_grads and width < full:
        per_param += full
    return n_params * per_param
