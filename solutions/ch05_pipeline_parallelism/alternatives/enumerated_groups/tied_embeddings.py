"""Groups made all at once, and an all-reduce that is asynchronous."""

import torch
import torch.distributed as dist


class TiedEmbedding:
    """The two copies of a tied weight."""

    def __init__(self, weight, pipelines):
        seen = set()
        for pipeline in pipelines:
            if len(set(pipeline)) != len(pipeline) or seen & set(pipeline):
                raise ValueError("A rank is in two places.")
            seen |= set(pipeline)
        self.weight, self.group = None, None
        groups = [(line, dist.new_group([line[0], line[-1]])) for line in pipelines if len(line) > 1]
        for line, group in groups:
            if dist.get_rank() in (line[0], line[-1]):
                self.weight, self.group = weight, group
                dist.broadcast(weight.data, src=line[0], group=group)

    def sync_grad(self):
        """Add the two gradients up."""
        if self.weight is not None:
            total = torch.zeros_like(self.weight) if self.weight.grad is None else self.weight.grad.clone()
            dist.all_reduce(total, op=dist.ReduceOp.SUM, group=self.group, async_op=True).wait()
            self.weight.grad = total
