"""Public tests of exercise `naive_ddp`; and the one-process references of this chapter's tests."""

from fractions import Fraction

import pytest
import torch

from assignments.ch04_data_parallelism import programs
from course_env.gpt_config import GPTConfig
from course_env.toy_models import load_tensors, tensors_of
from grader.harness import PerRank, assert_matches, exercise
from grader.harness.mistake import Mistake

# The traits that break naive data parallelism are in these models; see course_env/toy_models.py.
TINY_GPT = GPTConfig(vocab_size=32, n_layer=1, n_head=4, d_model=16, max_seq=8)

# What each trainable parameter may cost beside its gradient, to agree on which were used.
FLAG_BYTES = 8


def random_values(model):
    """Return new values for every parameter and buffer of a model."""
    values = tensors_of(programs.build(model))
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
    last_and_first = [p for p in programs.build(model).parameters() if p.dim() == 2]
    d_in, d_out = last_and_first[0].shape[1], last_and_first[0 if model == "tied" else -1].shape[0]
    x, y = torch.randn(rows, d_in, dtype=torch.float64), torch.randn(rows, d_out, dtype=torch.float64)
    return {"x": x, "y": y, "options": options}


def steps_for(world_size, model, num_steps=3, rows=2):
    """Return for each rank its training steps, each of one pass over its own data."""
    return [[[batch(model, rows)] for _ in range(num_steps)] for _ in range(world_size)]


def one_process(model, values, steps, weight_decay=0.0):
    """Train one module on the batches of all ranks put together; return what a rank of `programs.train` should.

    steps: for each rank its steps, of one pass each and equally many rows.
    """
    together = [
        [{name: torch.cat([one[0][name] for one in step]) for name in ("x", "y")}] for step in zip(*steps, strict=True)
    ]
    return replicas(model, values, [together], weight_decay)[0]


def replicas(model, values, steps, weight_decay=0.0):
    """Train a replica for each rank, all in this process, on averaged gradients; return what each rank should.

    For what one module cannot show: parameters that some ranks do not use, and statistics of each rank's own.
    """
    modules = [programs.build(model) for _ in steps]
    for module in modules:
        load_tensors(module, values)
    grads, velocity = [], {}
    for step in zip(*steps, strict=True):
        for module, passes in zip(modules, step, strict=True):
            module.zero_grad()
            for one in passes:
                programs.loss_of(module(one["x"], **one.get("options", {})), one["y"]).backward()
        grads.append(_average(modules))
        for module in modules:
            _sgd(module, grads[-1], velocity.setdefault(module, {}), weight_decay)
    return [{"at_start": values, "grads": grads, "at_end": tensors_of(module)} for module in modules]


def _average(modules):
    """Return the average gradients by name, None where no module has one."""
    every = [programs.gradients(module) for module in modules]
    there = {name: [grads[name] for grads in every if grads[name] is not None] for name in every[0]}
    return {name: sum(grads) / len(modules) if grads else None for name, grads in there.items()}


def _sgd(module, grads, velocity, weight_decay):
    """Take the step of torch.optim.SGD, which takes a second to import."""
    for name, parameter in module.named_parameters():
        if grads[name] is not None:
            grad = grads[name] + weight_decay * parameter.detach()
            velocity[name] = programs.MOMENTUM * velocity[name] + grad if name in velocity else grad
            parameter.data -= programs.LR * velocity[name]


def assert_trains_like(run, expected):
    """Assert that a run began with the expected values, had the expected gradients in each step, and ended as expected."""
    for what in ("at_start", "grads", "at_end"):
        assert_matches(run[what], PerRank(None if one is None else one[what] for one in expected), what=what)
    kept = [same for same in run["same_parameters"] if same is not None]
    assert all(kept), "ddp.module must be the module that was passed in, and its parameters the same objects as before."


def trainable_bytes(model):
    """Return the bytes of the gradients of a model's trainable parameters, and the number of these parameters."""
    trainable = [p for p in programs.build(model).parameters() if p.requires_grad]
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


def assert_step_traffic(comm, model, num_steps, members):
    """Each member sends what a ring all-reduce of all gradients costs, and at most the flags of all parameters more."""
    num_bytes, num_trainable = trainable_bytes(model)
    per_byte = Fraction(2 * (len(members) - 1), len(members)) * num_steps
    least, most = per_byte * num_bytes, per_byte * (num_bytes + FLAG_BYTES * num_trainable)
    for rank in members:
        sent = comm.bytes_sent_per_rank("all_reduce")[rank]
        told = (
            f"Rank {rank} sent {float(sent):.0f} bytes by all-reduce in {num_steps} steps. The gradients of the trainable "
            f"parameters, each once a step, make {float(least):.0f}, and flags for unused parameters {float(most - least):.0f} more."
        )
        assert sent <= most, f"{Mistake.MORE_COMMUNICATION}\n{told}"
        assert sent >= least, told


@exercise("naive_ddp", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_train_as_one_process_would_on_the_global_batch(launch, world_size, device):
    """After every step, parameters and gradients are those of one process that sees all ranks' data."""
    with device:
        values = [random_values("mlp") for _ in range(world_size)]
        steps = steps_for(world_size, "mlp")
        expected = one_process("mlp", values[0], steps)
    per_rank = {"values": values, "steps": steps}
    run = launch(programs.train, world_size, per_rank=per_rank, shared={"model": "mlp"}, on="best")
    assert_trains_like(run, [expected] * world_size)


@exercise("naive_ddp", aspect="equivalence")
def test_tied_and_frozen_parameters(launch):
    """A tied weight gets the average of its whole gradient; a frozen layer starts equal on all ranks and has no gradient."""
    values, steps = [random_values("tied") for _ in range(2)], steps_for(2, "tied")
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared={"model": "tied"})
    assert_trains_like(run, [one_process("tied", values[0], steps)] * 2)


@exercise("naive_ddp", aspect="equivalence")
def test_a_branch_that_one_rank_does_not_use(launch):
    """Where a rank has no gradient it counts as zeros; where no rank has one, it stays None."""
    values = [random_values("branchy") for _ in range(3)]
    used = [("left", "right"), ("left",), ("left",)]
    steps = [[[batch("branchy", 2, branches=branches)] for _ in range(3)] for branches in used]
    run = launch(
        programs.train,
        3,
        per_rank={"values": values, "steps": steps},
        shared={"model": "branchy", "weight_decay": 0.1},
    )
    assert_trains_like(run, replicas("branchy", values[0], steps, weight_decay=0.1))


@exercise("naive_ddp", aspect="equivalence")
def test_buffers_start_equal(launch):
    """Every buffer starts as on rank 0; afterwards the statistics of BatchNorm are each rank's own."""
    values, steps = [random_values("batch_norm") for _ in range(2)], steps_for(2, "batch_norm", rows=5)
    run = launch(programs.train, 2, per_rank={"values": values, "steps": steps}, shared={"model": "batch_norm"})
    assert_trains_like(run, replicas("batch_norm", values[0], steps))


@exercise("naive_ddp", aspect="property")
@pytest.mark.parametrize("model", ["tied", "batch_norm", "wide"])
def test_the_start_broadcasts_every_tensor_once(launch, model):
    """Wrapping a module broadcasts its parameters and buffers, each once, and nothing else."""
    values = [random_values(model) for _ in range(2)]
    run = launch(programs.train, 2, per_rank={"values": values}, shared={"model": model, "steps": []})
    assert_trains_like(run, replicas(model, values[0], [[], []]))
    run.comm.assert_only("broadcast")
    assert_start_traffic(run.comm, values[0], members=[0, 1])


@exercise("naive_ddp", aspect="property")
@pytest.mark.parametrize(("model", "world_size"), [("wide", 2), ("wide", 4), (TINY_GPT, 3)])
def test_a_step_all_reduces_every_gradient_once(launch, model, world_size):
    """A step costs each rank 2 (N - 1) / N times the bytes of the gradients: the ring all-reduce of chapter 3's model."""
    values, steps = random_values(model), steps_for(world_size, model, num_steps=2)
    run = launch(programs.train, world_size, per_rank={"steps": steps}, shared={"model": model, "values": values})
    assert_trains_like(run, replicas(model, values, steps))
    run.comm.assert_only("broadcast", "all_reduce")
    run.comm.assert_waited_for()
    assert_start_traffic(run.comm, values, members=list(range(world_size)))
    assert_step_traffic(run.comm, model, num_steps=2, members=list(range(world_size)))


@exercise("naive_ddp", aspect="robustness")
def test_a_group_of_some_of_the_ranks(launch):
    """In the group of ranks 3 and 1 all starts as on rank 3, two gradients are averaged, and ranks 0 and 2 do nothing."""
    members, values, steps = [3, 1], [random_values("mlp") for _ in range(4)], steps_for(4, "mlp", num_steps=2)
    shared = {"model": "mlp", "members": members}
    run = launch(programs.train, 4, per_rank={"values": values, "steps": steps}, shared=shared)
    expected = one_process("mlp", values[3], [steps[3], steps[1]])
    assert_trains_like(run, [None, expected, None, expected])
    run.comm.assert_only("broadcast", "all_reduce")
    assert_start_traffic(run.comm, values[0], members)
    assert_step_traffic(run.comm, "mlp", num_steps=2, members=members)
