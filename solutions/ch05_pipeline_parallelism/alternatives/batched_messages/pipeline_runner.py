"""Every message is a batch_isend_irecv of its own; what a rank does is a table of functions per kind."""

import torch
import torch.distributed as dist
from torch.distributed import P2POp, batch_isend_irecv


class PipelineRunner:
    """One rank of a pipeline."""

    def __init__(self, chunks, loss_fn, act_shape, dtype, group=None):
        self.modules = dict(enumerate(chunks))
        self.loss_fn, self.shape, self.dtype = loss_fn, torch.Size(act_shape), dtype
        self.ranks = dist.get_process_group_ranks(group or dist.group.WORLD)
        self.group = group
        self.d = self.ranks.index(dist.get_rank())

    def run(self, schedule, inputs=None, targets=None):  # noqa: C901, PLR0912
        """Run a schedule; return the losses."""
        p = len(self.ranks)
        numbers = [action[2] for actions in schedule for action in actions]
        if len(schedule) != p or max(numbers) + 1 != len(self.modules):
            raise ValueError(f"The pipeline has {p} ranks with {len(self.modules)} chunks each.")
        m = max(action[1] for action in schedule[self.d]) + 1
        split, end = "W" in [action[0] for action in schedule[self.d]], p * len(self.modules) - 1
        pending, stash, mail, losses = [], {}, {}, {}
        for kind, i, c in schedule[self.d]:
            s = c * p + self.d
            if kind == "F":
                x = inputs[i] if s == 0 else self._receive(mail, s - 1, ("F", i, s), m).requires_grad_(True)
                y = self.modules[c](x)
                if s == end:
                    losses[i] = self.loss_fn(y, targets[i])
                    y = losses[i].div(m)
                    losses[i] = losses[i].detach()
                else:
                    self._send(mail, pending, y.detach(), ("F", i, s + 1), m)
                stash[i, c] = [x, y, None]
                continue
            entry = stash[i, c]
            if kind == "B":
                if s < end:
                    entry[2] = self._receive(mail, s + 1, ("B", i, s), m)
                if split and s > 0:
                    torch.autograd.backward(entry[1], entry[2], inputs=[entry[0]], retain_graph=True)
                elif not split:
                    del stash[i, c]
                    if entry[1].requires_grad:
                        torch.autograd.backward(entry[1], entry[2])
                if s > 0:
                    self._send(mail, pending, entry[0].grad, ("B", i, s - 1), m)
            else:
                del stash[i, c]
                weights = [w for w in self.modules[c].parameters() if w.requires_grad]
                if weights:
                    torch.autograd.backward(entry[1], entry[2], inputs=weights)
            del entry
        for request, _ in pending:
            request.wait()
        return [losses[i] for i in range(len(losses))]

    def _send(self, mail, pending, tensor, key, m):
        to = key[2] % len(self.ranks)
        if to == self.d:
            mail[key] = tensor
            return
        tensor = tensor.contiguous()
        op = P2POp(dist.isend, tensor, self.ranks[to], self.group, tag=_tag(key, m))
        pending.extend((request, tensor) for request in batch_isend_irecv([op]))

    def _receive(self, mail, source, key, m):
        if key in mail:
            return mail.pop(key)
        tensor = torch.zeros(self.shape, dtype=self.dtype)
        op = P2POp(dist.irecv, tensor, self.ranks[source % len(self.ranks)], self.group, tag=_tag(key, m))
        for request in batch_isend_irecv([op]):
            request.wait()
        return tensor


def _tag(key, m):
    kind, i, stage = key
    return stage * 2 * m + i + (m if kind == "B" else 0)
