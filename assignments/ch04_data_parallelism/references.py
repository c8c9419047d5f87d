"""Baselines and assertions that the tests of this chapter share."""

import torch

from course_env.gpt_config import GPTConfig
from course_env.toy_models import LR, MOMENTUM, build_model, gradients_of, load_tensors, loss_of, tensors_of
from grader.harness import PerRank, assert_matches
from grader.harness.mistake import Mistake

# The traits that break naive data parallelism are in these models; see course_env/toy_models.py.
TINY_GPT = GPTConfig(vocab_size=32, n_layer=1, n_head=4, d_model=16, max_seq=8)

# What each trainable parameter may cost in addition to its gradient, so that ranks can agree on which were used.
FLAG_BYTES = 8


def random_values(model):
    """Return new values for every parameter and buffer of a model."""
    values = tensors_of(build_model(model))
    for name, tensor in values.items():
        if not tensor.is_floating_point():
            values[name] = torch.randint(1, 100, tensor.shape)
        elif name.endswith("running_var"):
            values[name] = torch.rand_like(tensor) + 0.5
        else:
            values[name] = 0.4 * torch.randn_like(tensor)
    return values


def batch(model, rows, **options):
    """Return one pass over a batch of this many rows: inputs, targets, options of the model."""
    if isinstance(model, GPTConfig):
        tokens = torch.randint(model.vocab_size, (2, rows, model.max_seq))
        return {"x": tokens[0], "y": tokens[1]}
    last_and_first = [p for p in build_model(model).parameters() if p.dim() == 2]
    d_in, d_out = last_and_first[0].shape[1], last_and_first[0 if model == "tied" else -1].shape[0]
    x, y = torch.randn(rows, d_in, dtype=torch.float64), torch.randn(rows, d_out, dtype=torch.float64)
    return {"x": x, "y": y, "options": options}


def steps_for(world_size, model, num_steps=3, rows=2):
    """Return for each rank its training steps, each of one pass over its own data."""
    return [[[batch(model, rows)] for _ in range(num_steps)] for _ in range(world_size)]


def zeros_and_nothing():
    """Return values of "branchy", and a step of two ranks in which branch "right" has a gradient of zeros, and none on rank 1."""
    values = random_values("branchy")
    for name in ("trunk.weight", "trunk.bias"):  # what the trunk hands to the branches is 0 then
        values[name] = torch.zeros_like(values[name])
    return values, [[[batch("branchy", 2, branches=used)]] for used in (("left", "right"), ("left",))]


def one_process(model, values, steps, weight_decay=0.0):
    """Train one module on the batches of all ranks together; return what every rank of `programs_ddp.train` should return.

    steps: for each rank its steps, of one pass each and equally many rows.
    """
    together = [
        [{name: torch.cat([one[0][name] for one in step]) for name in ("x", "y")}] for step in zip(*steps, strict=True)
    ]
    own_grads = replicas(model, values, steps, weight_decay)[0]["own_grads"]
    return replicas(model, values, [together], weight_decay)[0] | {"own_grads": own_grads}


def replicas(model, values, steps, weight_decay=0.0):
    """Train a replica for each rank, all in this process, on averaged gradients; return what each rank should return.

    For what one module cannot show: parameters that some ranks do not use, and statistics of each rank's own.
    """
    modules = [build_model(model) for _ in steps]
    for module in modules:
        load_tensors(module, values)
    grads, own_grads, velocity = [], [], {}
    for step in zip(*steps, strict=True):
        for module, passes in zip(modules, step, strict=True):
            module.zero_grad()
            for one in passes:
                loss_of(module(one["x"], **one.get("options", {})), one["y"]).backward()
        own_grads.append([gradients_of(module) for module in modules])
        grads.append(_average(own_grads[-1]))
        for module in modules:
            _sgd(module, grads[-1], velocity.setdefault(module, {}), weight_decay)
    return [
        {"at_start": values, "grads": grads, "at_end": tensors_of(module), "own_grads": own_grads} for module in modules
    ]


def _average(every):
    """Return the average of the ranks' gradients by name, None where no rank has one."""
    there = {name: [grads[name] for grads in every if grads[name] is not None] for name in every[0]}
    return {name: sum(grads) / len(every) if grads else None for name, grads in there.items()}


def _sgd(module, grads, velocity, weight_decay):
    """Take the step of torch.optim.SGD, which takes a second to import."""
    for name, parameter in module.named_parameters():
        if grads[name] is not None:
            grad = grads[name] + weight_decay * parameter.detach()
            velocity[name] = MOMENTUM * velocity[name] + grad if name in velocity else grad
            parameter.data -= LR * velocity[name]


def assert_trains_like(run, expected):
    """Assert that a run began with the expected values, had the expected gradients in each step, and ended as expected.

    expected: for each rank what `replicas` or `one_process` returned for it, None for a rank that takes no part
    """
    due = {
        what: PerRank(None if one is None else one[what] for one in expected)
        for what in ("at_start", "grads", "at_end")
    }
    assert_matches(run["at_start"], due["at_start"], what="at_start")
    _assert_in_place(run, due["at_start"])
    _assert_not_divided_by_users(run, expected)
    _assert_averaged(run, expected)
    _assert_of_this_step(run, expected)
    assert_matches(run["grads"], due["grads"], what="grads")
    assert_matches(run["at_end"], due["at_end"], what="at_end")
    kept = [same for same in run["same_parameters"] if same is not None]
    assert all(kept), "ddp.module must be the module that was passed in, and its parameters the same objects as before."


def _assert_in_place(run, due):
    """Assert that what shared the memory of a parameter or buffer from before the start sees the broadcast values, too."""
    for rank, (aliases, values) in enumerate(zip(run["in_place"], due, strict=True)):
        moved = [name for name in aliases or () if not torch.equal(aliases[name].cpu(), values[name].cpu())]
        if moved:
            raise AssertionError(
                f"Rank {rank}: {moved[0]} was not written in place: it has the right values, in new memory. What shared the "
                "old, such as a caller's view, goes on with the old values. Broadcast into the tensor that is there."
            )


def _assert_averaged(run, expected):
    """Assert that no rank ends its first step with gradients of its own batch, where those of the others count too."""
    for rank, (found, due) in enumerate(zip(run["grads"], expected, strict=True)):
        if not due or not due["grads"]:
            continue
        wrong = [
            name for name, grad in due["grads"][0].items() if grad is not None and not _close(found[0][name], grad)
        ]
        if wrong and _are_of_one_rank(found[0], due, wrong):
            raise AssertionError(
                f"{Mistake.NOT_REDUCED}\nRank {rank}: after finish_grad_sync() the gradient of {wrong[0]} is that of one rank's "
                "own batch. Is it .grad that is all-reduced, and does .grad hold what comes of it?"
            )
        if wrong and _are_of_one_rank(found[0], due, wrong, divided=True):
            raise AssertionError(
                f"{Mistake.NOT_REDUCED}\nRank {rank}: after finish_grad_sync() the gradient of {wrong[0]} is that of one rank's "
                "own batch, divided by the number of ranks. Is the sum over the ranks waited for before it is read?"
            )


def _assert_of_this_step(run, expected):
    """Assert that no step leaves the averages of the step before."""
    for rank, (found, due) in enumerate(zip(run["grads"], expected, strict=True)):
        for step in range(1, len(due["grads"]) if due else 0):
            before, now = due["grads"][step - 1], due["grads"][step]
            there = [name for name in now if now[name] is not None and before[name] is not None]
            stale = [name for name in there if _close(found[step][name], before[name])]
            if stale and not _close(now[stale[0]], before[stale[0]]):
                raise AssertionError(
                    f"{Mistake.STALE}\nRank {rank}: the gradient of {stale[0]} in step {step} is the average of the step before. "
                    "This step's was not all-reduced: what does finish_grad_sync() take for done already?"
                )


def _are_of_one_rank(found, due, names, *, divided=False):
    """Whether these gradients are those of one rank's batch."""
    every = due["own_grads"][0]
    divisor = len(every) if divided else 1
    return any(
        all(own[name] is not None and _close(found[name], own[name] / divisor) for name in names) for own in every
    )


def _assert_not_divided_by_users(run, expected):
    """Assert that no gradient is the sum over the ranks divided by the number of those that have one, where these are fewer."""
    members = [(found, due) for found, due in zip(run["grads"], expected, strict=True) if due]
    for step, every in enumerate(members[0][1]["own_grads"]):
        for name, average in members[0][1]["grads"][step].items():
            users = sum(own[name] is not None for own in every)
            if 0 < users < len(every) and all(
                _close(found[step][name], average * len(every) / users) for found, _ in members
            ):
                raise AssertionError(
                    f"{Mistake.SCALE}\nThe gradient of {name} in step {step} is the sum over the ranks divided by {users}, the "
                    f"number of ranks that used it. Divide by {len(every)}, the number of ranks in the group: for a rank that "
                    "did not use it the gradient is zero."
                )


def _close(one, other):
    """Whether two values are tensors that agree up to rounding."""
    if not isinstance(one, torch.Tensor) or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.allclose(one.cpu(), other.cpu(), rtol=1e-9, atol=1e-12)


def assert_not_known(found, due, known):
    """Assert that values are not those of a known mistake: on every rank, and not all of them right.

    found, due: of each rank, None where it takes no part
    known: what is wrong, in words, and the values of each rank
    """
    ranks = [rank for rank, one in enumerate(due) if one is not None]
    for what, wrong in known.items():
        differs = any(not _agree(wrong[rank], due[rank]) for rank in ranks)
        if differs and all(_agree(found[rank], wrong[rank]) for rank in ranks):
            raise AssertionError(f"{Mistake.VALUES}\n{what}")


def _agree(one, other):
    """Whether two numbers, tensors or dicts of them agree up to rounding."""
    if isinstance(other, dict):
        return isinstance(one, dict) and one.keys() == other.keys() and all(_agree(one[k], other[k]) for k in other)
    if isinstance(other, float):
        return isinstance(one, float) and abs(one - other) <= 1e-9 * abs(other)
    return one is other or _close(one, other)


def trainable_bytes(model):
    """Return the bytes of the gradients of a model's trainable parameters, and the number of these parameters."""
    trainable = [p for p in build_model(model).parameters() if p.requires_grad]
    return sum(p.nbytes for p in trainable), len(trainable)


def assert_start_traffic(comm, values, members):
    """Each member takes part in broadcasts that carry every parameter and buffer once, and nobody else communicates."""
    due = sum(tensor.nbytes for tensor in values.values())
    assert comm.count() == comm.within(members).count(), f"Only ranks {members} are in the group, and others took part."
    for rank in members:
        carried = comm.payload_bytes("broadcast", rank=rank)
        mistake = Mistake.MORE_COMMUNICATION if carried > due else Mistake.CHECK
        assert carried == due, (
            f"{mistake}\nRank {rank} took part in broadcasts of {carried} bytes at the start. "
            f"Parameters and buffers, each once, are {due} bytes."
        )
        assert {op.root for op in comm.ops("broadcast", rank=rank)} == {members[0]}, (
            f"Everything must come from the first rank of the group, which is global rank {members[0]}."
        )
