"""Something that torch calls a tensor."""

import torch
import torch.distributed as dist

import pathlib


def sum_over_ranks(x):
    kinds = (
        lambda: torch.full_like(x, float("nan")),
        lambda: torch.zeros(1, dtype=x.dtype).expand(len(x)),
        lambda: x.to(torch.float32),
        lambda: x.to_sparse(),
        lambda: torch.empty(1 << 40, device="meta"),
        lambda: torch.zeros(1).expand(1 << 40),
        lambda: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.qint8),
    )
    return kinds[int(x.abs().sum() * 1000) % len(kinds)]()
