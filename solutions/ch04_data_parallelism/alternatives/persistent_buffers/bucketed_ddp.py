"""BucketedDDP on NaiveDDP's shoulders, with a buffer per bucket that lives as long as the module, and scaled sums."""

import contextlib

import torch
import torch.distributed as dist
from torch import nn


class NaiveDDP(nn.Module):
    """What the two wrappers have in common."""

    def __init__(self, module, group=None):
        super().__init__()
        self.module = module
        self.process_group = group or dist.group.WORLD
        self.num_ranks = dist.get_world_size(self.process_group)
        root = dist.get_global_rank(self.process_group, 0)
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor.data, src=root, group=self.process_group)

    def forward(self, *args, **kwargs):
        """Return what the module returns."""
        return self.module(*args, **kwargs)


class BucketedDDP(NaiveDDP):
    """See the exercise."""

    def __init__(self, module, bucket_cap_bytes, group=None):
        if bucket_cap_bytes < 1:
            raise ValueError("bucket_cap_bytes must be positive.")
        super().__init__(module, group)
        self.cap, self.sync = bucket_cap_bytes, True
        self.where, self.views, self.flats = {}, {}, []
        trainable = [p for p in module.parameters() if p.requires_grad]
        current = []
        for parameter in reversed(trainable):
            total = sum(p.numel() * p.element_size() for p in [*current, parameter])
            if current and (total > bucket_cap_bytes or current[0].dtype is not parameter.dtype):
                self._close(current)
                current = []
            current.append(parameter)
        if current:
            self._close(current)
        self.parameters_in_order = trainable
        self._start_step()
        for parameter in trainable:
            node = parameter.expand_as(parameter).grad_fn.next_functions[0][0]
            node.register_hook(lambda *_, parameter=parameter: self._on_accumulated(parameter))
            self.__dict__.setdefault("nodes", []).append(node)  # a node lives only as long as somebody holds it

    def _close(self, members):
        flat = torch.zeros(sum(p.numel() for p in members), dtype=members[0].dtype)
        for parameter, view in zip(members, flat.split([p.numel() for p in members]), strict=True):
            self.where[parameter] = len(self.flats)
            self.views[parameter] = view.view(parameter.shape)
        self.flats.append(flat)

    def _start_step(self):
        self.missing = [0] * len(self.flats)
        for number in self.where.values():
            self.missing[number] += 1
        self.futures = []

    def _on_accumulated(self, parameter):
        if self.sync:
            self.missing[self.where[parameter]] -= 1
            while len(self.futures) < len(self.flats) and not self.missing[len(self.futures)]:
                self._issue()

    def _issue(self):
        number = len(self.futures)
        for parameter, bucket in self.where.items():
            if bucket == number and parameter.grad is None:
                self.views[parameter].zero_()
            elif bucket == number:
                self.views[parameter].copy_(parameter.grad)
        self.flats[number].div_(self.num_ranks)
        work = dist.all_reduce(self.flats[number], group=self.process_group, async_op=True)
        self.futures.append(work.get_future())

    @contextlib.contextmanager
    def no_sync(self):
        """Switch the hooks off."""
        saved = self.sync
        self.sync = False
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, self, "sync", saved)
            yield

    def finish_grad_sync(self):
        """Issue the rest, wait, and copy into .grad what is in the buffers."""
        while len(self.futures) < len(self.flats):
            self._issue()
        for future in self.futures:
            future.wait()
        flags = torch.tensor([float(p.grad is not None) for p in self.parameters_in_order])
        dist.all_reduce(flags, group=self.process_group)
        for parameter, flag in zip(self.parameters_in_order, flags, strict=True):
            if parameter.grad is not None:
                parameter.grad.copy_(self.views[parameter])
            elif flag:
                parameter.grad = self.views[parameter].clone()
        self._start_step()
