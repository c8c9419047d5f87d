"""How many bytes the states of a model take: parameters, gradients, and what the optimizer remembers."""

from typing import Literal

Optimizer = Literal["sgd", "momentum", "adam"]
Precision = Literal["fp32", "amp_fp16", "pure_bf16"]


def model_state_bytes(n_params: int, *, optimizer: Optimizer, precision: Precision, fp32_grads: bool = False) -> int:
    """Return the bytes of parameters, gradients and optimizer states of a model with `n_params` parameters.

    optimizer: numbers it keeps per parameter: sgd none, momentum one, adam two (its count of steps is not one of them)
    precision:
        fp32: everything in 4 bytes
        amp_fp16: parameters and gradients in 2 bytes; a master copy of the parameters, which the optimizer updates, and the
            optimizer's numbers in 4 bytes
        pure_bf16: everything in 2 bytes, without a master copy
    fp32_grads: keep another copy of the gradients in 4 bytes, in which micro-batches are summed. With fp32 the gradients are
        that copy already, and nothing is added.

    Raises: ValueError for an optimizer or a precision that is none of these.
    Source: Rajbhandari et al. 2020, ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, arXiv:1910.02054, section 3.1
    """
    # TODO(model_state_bytes): write this part, and delete the line below.
    raise NotImplementedError("TODO(model_state_bytes)")
