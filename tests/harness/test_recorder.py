"""Every communication of a rank is in its journal, whatever code issued it, and the recorder changes none."""

import textwrap
from fractions import Fraction

import pytest

from grader.harness.comm.log import CommLog
from grader.harness.outcome import StudentFailure
from grader.harness.protocol.journal import Failed, read_journal

IMPORTS = """
import torch
import torch.distributed as dist
from torch.distributed import ReduceOp
rank, size, f64 = dist.get_rank, dist.get_world_size, torch.float64
"""

# One line of a student's code -> the operations that a rank issues for it: (op, elements read, elements written).
CALLS = {
    "dist.all_reduce(torch.ones(5))": [("all_reduce", 5, 5)],
    "dist.all_reduce(torch.ones(5), op=ReduceOp.MAX, async_op=True).wait()": [("all_reduce", 5, 5)],
    "dist.broadcast(torch.ones(3), src=1)": [("broadcast", 3, 3)],
    "dist.reduce(torch.ones(3), dst=0)": [("reduce", 3, 3)],
    "dist.all_gather([torch.empty(3) for _ in range(size())], torch.ones(3))": [("all_gather", 3, 6)],
    "dist.all_gather_single(torch.empty(6), torch.ones(3))": [("all_gather_single", 3, 6)],
    "dist.reduce_scatter(torch.empty(2), list(torch.ones(2, 2)))": [("reduce_scatter", 4, 2)],
    "dist.reduce_scatter_single(torch.empty(2), torch.ones(4))": [("reduce_scatter_single", 4, 2)],
    "dist.scatter(torch.empty(2), list(torch.ones(2, 2)) if rank() == 0 else None)": [("scatter", 4, 2)],
    "dist.gather(torch.ones(2), [torch.empty(2), torch.empty(2)] if rank() == 0 else None)": [("gather", 2, 4)],
    "dist.all_to_all(list(torch.empty(2, 3)), list(torch.ones(2, 3)))": [("all_to_all", 6, 6)],
    "dist.all_to_all_single(torch.empty(4, 3), torch.ones(4, 3))": [("all_to_all_single", 12, 12)],
    "dist.barrier()": [("barrier", 0, 0)],
    "dist.monitored_barrier()": [("monitored_barrier", 0, 0)],
    "dist.all_gather_object([None, None], 'x')": [("all_gather", 1, 2), ("all_gather", 16, 32)],
    "dist.group.WORLD.allreduce(torch.ones(4), ReduceOp.SUM).wait()": [("all_reduce", 4, 4)],
    "torch.distributed.nn.functional.all_reduce(torch.ones(4))": [("all_reduce", 4, 4)],
    "funcol.all_reduce(torch.ones(4), 'sum', dist.group.WORLD).wait()": [("all_reduce", 4, 4)],
    "funcol.all_gather_single(torch.ones(4), 0, dist.group.WORLD).wait()": [("all_gather_single_coalesced", 4, 8)],
    "funcol.reduce_scatter_single(torch.ones(4), 'sum', 0, dist.group.WORLD).wait()": [
        ("reduce_scatter_single_coalesced", 4, 2)
    ],
    "funcol.all_to_all_single(torch.ones(4), None, None, dist.group.WORLD).wait()": [("all_to_all_single", 4, 4)],
    "coalesced(lambda: [dist.all_reduce(torch.ones(n)) for n in (2, 3)])": [("all_reduce_coalesced", 5, 5)],
}


def write_solve(ranks, *lines: str, head: str = "") -> None:
    """Write a student's file whose `solve` has these lines."""
    body = textwrap.indent("\n".join(lines), "    ")
    ranks.write(f"{IMPORTS}\n{textwrap.dedent(head)}\ndef solve():\n{body}\n")


def test_every_call_of_torch_distributed_is_recorded_with_its_sizes(ranks):
    """Each form of each operation becomes entries with the elements read and written, at the line of the call."""
    head = """
        import warnings
        import torch.distributed._functional_collectives as funcol
        def coalesced(calls):
            with dist.distributed_c10d._coalescing_manager():
                calls()
    """
    write_solve(ranks, *CALLS, "return 1", head=head)

    comm = ranks.run(2).comm

    found = [(op.op, sum(op.inputs), sum(op.outputs)) for op in comm.ops(rank=0)]
    assert found == [op for ops in CALLS.values() for op in ops]
    lines = [op.site.line for op in comm.ops(rank=0) if op.op != "all_reduce_coalesced"]
    assert lines == sorted(lines)
    assert {op.site.function for op in comm.ops()} == {"solve", "coalesced"}
    assert {op.site.file for op in comm.ops()} == {"work.py"}
    assert all(op.done_at is not None for op in comm.ops())


def test_options_are_recorded_in_global_ranks(ranks):
    """Roots and peers are global ranks, even if the call names ranks of the group."""
    write_solve(
        ranks,
        "group = dist.new_group([1, 3])",
        "if rank() in (1, 3):",
        "    dist.broadcast(torch.ones(2, dtype=f64), group=group, group_src=1)",
        "    dist.all_reduce(torch.ones(2), op=ReduceOp.PRODUCT, group=group)",
        "if rank() == 1:",
        "    dist.send(torch.ones(2), 3, tag=7, group=group)",
        "if rank() == 3:",
        "    dist.recv(torch.ones(2), group_src=0, tag=7, group=group)",
    )

    comm = ranks.run(4).comm

    broadcast, reduce, send = comm.ops(rank=1)
    receive = comm.ops(rank=3)[2]
    assert (broadcast.ranks, broadcast.root, broadcast.dtype, broadcast.input_bytes) == ((1, 3), 3, "float64", 16)
    assert (reduce.reduce_op, reduce.root) == ("PRODUCT", None)
    assert (send.peer, send.tag) == (3, 7)
    assert (receive.peer, receive.tag) == (1, 7)
    assert comm.within([3, 1]).count() == comm.count() == 6
    assert comm.within([0, 1, 2, 3]).count() == 0


def test_blocking_and_asynchronous_calls_are_distinguished(ranks):
    """`is_async` says whether the student's call returns before the operation is complete, and `api` which call it was."""
    write_solve(
        ranks,
        "other, y = 1 - rank(), torch.empty(2)",
        "work = dist.all_reduce(torch.ones(2), async_op=True)",
        "work.wait()",
        "(dist.send if rank() == 0 else dist.recv)(y, other)",
        "for work in [dist.isend(torch.ones(2), other), dist.irecv(y, other)]:",
        "    work.wait()",
        "ops = [dist.P2POp(dist.isend, torch.ones(2), other), dist.P2POp(dist.irecv, y, other)]",
        "for work in dist.batch_isend_irecv(ops):",
        "    work.wait()",
    )

    comm = ranks.run(2).comm

    assert [(op.op, op.api, op.is_async) for op in comm.ops(rank=0)] == [
        ("all_reduce", "all_reduce", True),
        ("send", "send", False),
        ("send", "isend", True),
        ("recv", "irecv", True),
        ("send", "batch_isend_irecv", True),
        ("recv", "batch_isend_irecv", True),
    ]
    *others, sent, received = comm.ops(rank=0)
    assert others[0].waited_site.line == others[0].site.line + 1
    assert all(op.waited_at < sent.issued_at for op in others)
    assert sent.issued_at < received.issued_at < sent.waited_at


def test_a_receive_from_any_source_learns_its_sender(ranks):
    """The sender is unknown when the receive is issued, and recorded when the receive is complete."""
    write_solve(
        ranks,
        "if rank() == 2:",
        "    dist.send(torch.ones(2), 0)",
        "if rank() == 0:",
        "    return dist.recv(torch.empty(2))",
    )

    run = ranks.run(3)

    assert run["value"][0] == 2
    assert [(op.any_source, op.peer) for op in run.comm.ops("recv")] == [(True, 2)]


def test_reducer_of_ddp_is_recorded(ranks):
    """The all-reduces that DDP's C++ code issues during backward are recorded at the line of backward()."""
    write_solve(
        ranks,
        "model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 2))",
        "model(torch.ones(4, 3)).sum().backward()",
        "return model.module.weight.grad",
    )

    comm = ranks.run(2).comm

    (gradients,) = comm.ops("all_reduce", rank=0)
    assert (sum(gradients.inputs), gradients.api, gradients.future_taken) == (8, "", True)
    assert gradients.site.line == comm.ops("broadcast", rank=0)[0].site.line + 1


def test_sharded_models_and_meshes_are_recorded(ranks):
    """fully_shard and DTensor on groups of a device mesh go through the recorder, with the volume that theory says."""
    write_solve(
        ranks,
        'mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))',
        "model = fully_shard(torch.nn.Linear(4, 4, bias=False, dtype=f64), mesh=mesh['dp'])",
        "model(torch.ones(2, 4, dtype=f64)).sum().backward()",
        "x = distribute_tensor(torch.arange(8.0), mesh['tp'], [Shard(0)]).full_tensor()",
        "return [x, model.weight.grad.full_tensor(), dist.get_backend(mesh.get_group('dp'))]",
        head="""
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard
            from torch.distributed.tensor import Shard, distribute_tensor
        """,
    )

    run = ranks.run(4)

    x, gradient, backend = run["value"][0]
    assert (x.tolist(), gradient.tolist(), backend) == (list(range(8)), [[2.0] * 4] * 4, "gloo")
    across = run.comm.within([0, 2])
    assert across.payload_bytes("reduce_scatter", rank=0) == 16 * 8
    assert across.bytes_sent_per_rank("reduce_scatter")[0] == Fraction(1, 2) * 16 * 8
    # Once before forward, as a root module keeps its parameters until backward, and once for the gradient's full_tensor().
    assert across.payload_bytes("all_gather", rank=0) == 2 * 16 * 8
    assert run.comm.within([0, 1]).count("all_gather", rank=0) == 1


def test_pipeline_schedules_are_recorded(ranks):
    """Each micro-batch crosses the stage boundary once forward and once backward."""
    write_solve(
        ranks,
        "stage = PipelineStage(torch.nn.Linear(3, 3), rank(), 2, torch.device('cpu'))",
        "schedule = Schedule1F1B(stage, 4, loss_fn=lambda y, t: (y - t).square().sum())",
        "x = torch.ones(8, 3)",
        "schedule.step(x) if rank() == 0 else schedule.step(target=x, losses=[])",
        head="from torch.distributed.pipelining import PipelineStage, Schedule1F1B",
    )

    comm = ranks.run(2).comm
    tensors = [op for op in comm.ops("send") if op.dtype == "float32"]

    assert [sum(op.rank == rank for op in tensors) for rank in (0, 1)] == [4, 4]
    assert {op.input_bytes for op in tensors} == {2 * 3 * 4}


def test_groups_made_in_any_way_are_gloo_to_those_who_ask(ranks):
    """Groups with an explicit backend, subgroups, and groups made after all others were destroyed are recorded as gloo's."""
    write_solve(
        ranks,
        "import os",
        'groups = [dist.new_group([0, 1], backend="gloo"), dist.new_group(), dist.new_subgroups(group_size=2)[0]]',
        "groups.append(dist.new_group([0, 1], use_local_synchronization=True))",
        "for group in groups:",
        "    dist.all_reduce(torch.ones(2), group=group)",
        "names = [dist.get_backend(group) for group in (None, *groups)]",
        "dist.barrier()",
        "dist.destroy_process_group(groups[0])",
        "dist.destroy_process_group()",
        "store = dist.FileStore(os.environ['TMPDIR'] + '/again', 2)",
        "dist.init_process_group(rank=int(os.environ['RANK']), world_size=2, store=store)",
        "dist.all_reduce(torch.ones(2))",
        "dist.barrier()",
        "return names",
    )

    run = ranks.run(2)

    assert run["value"] == (["gloo"] * 5, ["gloo"] * 5)
    assert run.comm.count("all_reduce", rank=0) == 5


def test_results_equal_those_of_plain_gloo(ranks):
    """A group that is recorded gives the same results, bit for bit, as one that is not."""
    write_solve(
        ranks,
        "def results(group):",
        "    torch.manual_seed(rank())",
        "    x, out = torch.randn(6, 2), [torch.randn(6, 2)]",
        "    for op in (ReduceOp.SUM, ReduceOp.AVG, ReduceOp.MAX, ReduceOp.PRODUCT):",
        "        out.append(x.clone())",
        "        dist.all_reduce(out[-1], op=op, group=group)",
        "    out.append(torch.empty(18, 2))",
        "    dist.all_gather_single(out[-1], x, group=group)",
        "    out.append(torch.empty(2, 2))",
        "    dist.reduce_scatter_single(out[-1], x, group=group)",
        "    out.append(torch.empty(6, 2))",
        "    dist.all_to_all_single(out[-1], x, group=group)",
        "    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2), process_group=group)",
        "    model(x).square().sum().backward()",
        "    work = dist.all_reduce(x, async_op=True, group=group)",
        "    then = work.get_future().then(lambda future: future.value()[0] * 2)",
        "    work.wait()",
        "    return [*out, then.wait(), work.result()[0], model.module.weight.grad]",
        "recorded = results(dist.new_group())",
        "recorder._stop()",
        "return [recorded, results(dist.new_group())]",
        head="from grader.harness.inside import recorder",
    )

    for recorded, plain in ranks.run(3)["value"]:
        assert all((a == b).all() for a, b in zip(recorded, plain, strict=True))


def test_a_call_outside_the_students_file_is_at_a_line_of_the_program(ranks):
    """If no line of the student's file is on the stack, the site is a line of the course's program."""
    ranks.write(
        "def solve(): pass",
        program="""
        import torch, torch.distributed as dist
        def program(student):
            dist.all_reduce(torch.ones(2))
            return {}
        """,
    )

    assert {str(op.site) for op in ranks.run(2).comm.ops()} == {"programs.py:4"}


def test_errors_reach_the_student_unchanged_and_are_recorded(ranks):
    """Student code can catch what torch raises, and the journal has the same error."""
    write_solve(
        ranks,
        "try:",
        "    dist.all_gather([torch.empty(2), torch.empty(3)], torch.ones(2))",
        "except RuntimeError as error:",
        "    return str(error)",
    )

    run = ranks.run(2)

    assert "invalid tensor size" in run["value"][0]
    assert "invalid tensor size" in run.comm.ops(rank=0)[0].error


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os.abort()", "os._exit(0)"])
def test_journal_survives_the_death_of_its_rank(ranks, end):
    """All that a rank had issued before it was killed is in its journal; the rank need not write anything at its end."""
    write_solve(ranks, "import os", "dist.all_reduce(torch.ones(4))", "if rank() == 0:", f"    {end}", "dist.barrier()")

    remains = ranks.remains(2, timeout_s=5)

    comm = CommLog([read_journal(left.journal) for left in remains.ranks])
    assert [op.op for op in comm.ops(rank=0)] == ["all_reduce"]
    assert [op.op for op in comm.ops(rank=1)] == ["all_reduce", "barrier"]
    assert any(isinstance(event, Failed) for event in comm.journals[1].events)
    with pytest.raises(StudentFailure):
        ranks.run(2, timeout_s=5)


def test_forks_of_a_rank_leave_its_journal_alone(ranks):
    """A process that student code forks writes nothing, and the journal of its parent stays complete."""
    write_solve(
        ranks,
        "import os",
        "dist.all_reduce(torch.ones(1))",
        "if os.fork() == 0:",
        "    dist.group.WORLD.recorder.done(0)",
        "    os._exit(0)",
        "os.wait()",
        "dist.all_reduce(torch.ones(2))",
    )

    comm = ranks.run(2).comm

    assert [op.op for op in comm.ops(rank=0)] == ["all_reduce", "all_reduce"]
    assert comm.is_complete
