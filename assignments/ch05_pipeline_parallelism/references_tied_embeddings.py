"""Baselines and assertions that the public and the hidden tests of tied_embeddings.py share."""

import torch

from assignments.ch05_pipeline_parallelism import programs_tied_embeddings as programs
from course_env.toy_models import LR, MOMENTUM, loss_of
from grader.harness import PerRank, assert_matches
from grader.harness.mistake import Mistake

VOCAB, WIDTH = 7, 3
MISTAKES = {
    "at_start": ("each copy with the values that it had before", "both copies with the values of the last stage")
}


def launch_training(launch, pipelines, *, world_size, num_steps=3, without_grad=()):
    """Train every pipeline on its own data; return the run, and what each rank should return."""
    values = [None] * world_size
    steps = [None] * world_size
    for ranks in pipelines:
        data = [(torch.randint(VOCAB, (2, 4)), torch.randint(VOCAB, (2, 4))) for _ in range(num_steps)]
        for number, rank in enumerate(ranks):
            stage = programs.make_stage(number, len(ranks), VOCAB, WIDTH)
            values[rank] = {name: torch.randn_like(p.detach()) for name, p in stage.named_parameters()}
            steps[rank] = data
    shared = {"pipelines": pipelines, "vocab": VOCAB, "width": WIDTH, "without_grad": list(without_grad)}
    run = launch(programs.train, world_size, shared=shared, per_rank={"values": values, "steps": steps})
    due = [{"at_start": None, "grads": None, "after": None} for _ in range(world_size)]
    for ranks in pipelines:
        found = one_process([values[rank] for rank in ranks], steps[ranks[0]], without_grad)
        kept, of_the_last = MISTAKES["at_start"]
        for rank, one in zip(ranks, found, strict=True):
            due[rank] = one
            if rank in {ranks[0], ranks[-1]}:
                one[f"at_start {kept}"], one[f"at_start {of_the_last}"] = values[rank], values[ranks[-1]]
    return run, due


def one_process(values, steps, without_grad=()):
    """Train the whole model with one weight for embedding and head; return what each stage's rank should return."""
    p = len(values)
    weight = values[0]["weight"].clone().requires_grad_()
    between = [{name: t.clone().requires_grad_() for name, t in stage.items()} for stage in values[1:-1]]
    parameters = [weight, *(t for stage in between for t in stage.values())]
    velocity = [torch.zeros_like(t) for t in parameters]
    results = [{"at_start": _of(s, p, weight, between), "grads": [], "after": []} for s in range(p)]
    for tokens, targets in steps:
        embedding, head = weight, weight
        if without_grad:  # a use whose gradient is lost is one that has none
            embedding, head = (weight.detach() if s in without_grad else weight for s in (0, p - 1))
        x = torch.nn.functional.embedding(tokens, embedding)
        for stage in between:
            x = torch.tanh(x @ stage["0.weight"].T + stage["0.bias"])
        grads = torch.autograd.grad(loss_of(torch.tanh(x) @ head.T, targets), parameters)
        for parameter, grad, v in zip(parameters, grads, velocity, strict=True):
            v.mul_(MOMENTUM).add_(grad)
            parameter.data -= LR * v
        names = [(s, name) for s, stage in enumerate(between) for name in stage]
        of_between = [
            {name: g for (at, name), g in zip(names, grads[1:], strict=True) if at == s} for s in range(len(between))
        ]
        for s, result in enumerate(results):
            result["grads"].append(_of(s, p, grads[0], of_between))
            result["after"].append(_of(s, p, weight, between))
    return results


def _of(stage, p, weight, between):
    tensors = {"weight": weight} if stage in {0, p - 1} else between[stage - 1]
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def assert_tied(run, due):
    """Assert that every rank began, had gradients and ended as the model in one process that has one weight."""
    for what in ("at_start", "grads", "after"):
        mistakes = {
            name: PerRank(one.get(f"{what} {name}", one[what]) for one in due) for name in MISTAKES.get(what, ())
        }
        assert_matches(run[what], PerRank(one[what] for one in due), mistakes=mistakes, what=what)
    assert all(run["same_parameter"]), "The weight must stay the same parameter: write into it, and do not replace it."


def assert_collectives(comm, pipelines, num_steps):
    """Assert that each pair of ends has one broadcast and then one all-reduce per step, of the weight, and nobody else any."""
    num_bytes = VOCAB * WIDTH * 8
    ends = {rank: {ranks[0], ranks[-1]} for ranks in pipelines if len(ranks) > 1 for rank in (ranks[0], ranks[-1])}
    for rank in range(comm.world_size):
        ops = [op for op in comm.ops(rank=rank) if op.op not in {"send", "recv"}]
        kinds = [op.kind for op in ops]
        due = ["broadcast"] + ["all_reduce"] * num_steps if rank in ends else []
        where = f"Rank {rank}, {'at an end' if rank in ends else 'not at an end'} of its pipeline,"
        mistake = Mistake.MORE_COMMUNICATION if len(kinds) > len(due) else Mistake.COMMUNICATION
        assert kinds == due, f"{mistake}\n{where} took part in {kinds or 'nothing'}; {due or 'nothing'} is due."
        for op in ops:
            assert set(op.ranks) == ends[rank], (
                f"{where} called {op.op} in the group of ranks {list(op.ranks)}, not of both ends."
            )
            assert op.payload_bytes == num_bytes, (
                f"{where} called {op.op} with {op.payload_bytes} bytes; the weight has {num_bytes}."
            )
