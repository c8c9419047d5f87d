"""The sum as twice the average, in a flat buffer."""

from itertools import pairwise

import torch
import torch.distributed as dist


class TiedEmbedding:
    """The two copies of a tied weight."""

    def __init__(self, weight, pipelines):
        ranks = sorted(rank for pipeline in pipelines for rank in pipeline)
        if any(one == other for one, other in pairwise(ranks)):
            raise ValueError(f"{ranks} holds a rank twice.")
        self.pair = None
        for first, *_, last in (pipeline for pipeline in pipelines if len(pipeline) > 1):
            pair = dist.new_group(sorted((first, last)))
            if dist.get_rank() in {first, last}:
                self.pair, self.weight = pair, weight
                values = weight.detach().clone()
                dist.broadcast(values, src=first, group=pair)
                with torch.no_grad():
                    weight.copy_(values)

    def sync_grad(self):
        """Add the two gradients up."""
        if self.pair is None:
            return
        flat = self.weight.new_zeros(self.weight.numel())
        if self.weight.grad is not None:
            flat += self.weight.grad.flatten()
        dist.all_reduce(flat, op=dist.ReduceOp.AVG, group=self.pair)
        self.weight.grad = (2 * flat).view_as(self.weight).detach()
