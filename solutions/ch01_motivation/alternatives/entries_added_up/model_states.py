"""One entry for each copy of a parameter, with its width."""


def model_state_bytes(n_params, *, optimizer, precision, fp32_grads=False):
    """Return the bytes of all states."""
    if precision == "fp32":
        copies, of_optimizer = [4, 4], 4
    elif precision == "amp_fp16":
        copies, of_optimizer = [2, 2, 4], 4
    elif precision == "pure_bf16":
        copies, of_optimizer = [2, 2], 2
    else:
        raise ValueError(f"unknown precision {precision}")
    if optimizer == "momentum":
        copies.append(of_optimizer)
    elif optimizer == "adam":
        copies.extend([of_optimizer] * 2)
    elif optimizer != "sgd":
        raise ValueError(f"unknown optimizer {optimizer}")
    if fp32_grads and copies[1] != 4:
        copies.append(4)
    return sum(copies) * n_params
