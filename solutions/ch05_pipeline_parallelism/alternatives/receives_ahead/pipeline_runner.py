"""All receives of a step are posted before it begins; gradients start from 1 / m instead of a divided loss."""

import torch
import torch.distributed as dist


class PipelineRunner:
    """One rank of a pipeline."""

    def __init__(self, chunks, loss_fn, act_shape, dtype, group=None):
        self.chunks, self.loss_fn, self.group = chunks, loss_fn, group
        self.empty = lambda: torch.empty(*act_shape, dtype=dtype)

    def run(self, schedule, inputs=None, targets=None):  # noqa: C901, PLR0912, PLR0915
        """Run a schedule; return the losses."""
        p, d, v = dist.get_world_size(self.group), dist.get_rank(self.group), len(self.chunks)
        if len(schedule) != p or {c for actions in schedule for _, _, c in actions} != set(range(v)):
            raise ValueError("This schedule is for another pipeline.")
        m = len({i for _, i, _ in schedule[0]})
        split = any(kind == "W" for kind, _, _ in schedule[0])
        last = p * v - 1
        arriving, sending, local, kept, gradients, losses = {}, [], {}, {}, {}, [None] * m

        def source(kind, stage):
            return stage - 1 if kind == "F" else stage + 1

        for kind, i, c in schedule[d]:
            stage = c * p + d
            there = source(kind, stage)
            if kind != "W" and 0 <= there <= last and there % p != d:
                buffer = self.empty()
                tag = (stage * m + i) * 2 + "FB".index(kind)
                arriving[kind, i, stage] = dist.irecv(buffer, group=self.group, group_src=there % p, tag=tag), buffer

        def take(kind, i, stage):
            if (kind, i, stage) in local:
                return local.pop((kind, i, stage))
            work, buffer = arriving.pop((kind, i, stage))
            work.wait()
            return buffer

        def give(kind, i, stage, tensor):
            if stage % p == d:
                local[kind, i, stage] = tensor
            else:
                tag = (stage * m + i) * 2 + "FB".index(kind)
                sent = tensor.clone(memory_format=torch.contiguous_format)
                sending.append((dist.isend(sent, group=self.group, group_dst=stage % p, tag=tag), sent))

        for kind, i, c in schedule[d]:
            stage, module = c * p + d, self.chunks[c]
            weights = [one for one in module.parameters() if one.requires_grad]
            if kind == "F":
                x = inputs[i] if stage == 0 else take("F", i, stage).requires_grad_()
                y = module(x)
                if stage == last:
                    y = self.loss_fn(y, targets[i])
                    losses[i] = y.detach().clone()
                else:
                    give("F", i, stage + 1, y.detach())
                kept[i, c] = x, y
            elif kind == "B":
                x, y = kept[i, c]
                seed = torch.full_like(y, 1 / m) if stage == last else take("B", i, stage)
                wanted = ([x] if stage else []) + ([] if split else weights)
                found = (
                    list(torch.autograd.grad(y, wanted, seed, retain_graph=split, allow_unused=True)) if wanted else []
                )
                if stage:
                    give("B", i, stage - 1, found.pop(0))
                _add(weights, found)
                if split:
                    gradients[i, c] = seed
                else:
                    del kept[i, c], x, y
            else:
                _, y = kept.pop((i, c))
                if weights:
                    _add(weights, torch.autograd.grad(y, weights, gradients.pop((i, c)), allow_unused=True))
        for work, _ in sending:
            work.wait()
        return losses if d == p - 1 else []


def _add(weights, gradients):
    for weight, gradient in zip(weights, gradients, strict=False):
        if gradient is not None:
            weight.grad = gradient if weight.grad is None else weight.grad + gradient
