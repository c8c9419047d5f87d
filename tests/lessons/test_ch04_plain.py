"""Chapter 4's solutions where no harness is: under torchrun, after passes that went wrong, with sparse gradients, on other devices."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from assignments.ch04_data_parallelism.references_bucketed_ddp import PUBLIC_CAPS, filled, filled_wrongly

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = ROOT / "solutions/ch04_data_parallelism"
SCRIPT = ROOT / "assignments/ch04_data_parallelism/lab/plain.py"

PASSES_THAT_FAIL = """
import sys
import torch
import torch.distributed as dist
from torch import nn

sys.path.insert(0, sys.argv[1])
from bucketed_ddp import BucketedDDP
from naive_ddp import NaiveDDP

dist.init_process_group("gloo")
rank = dist.get_rank()


def averages(ddp, module, x):
    module.zero_grad()
    ddp(x).square().sum().backward()
    ddp.finish_grad_sync()
    return [parameter.grad for parameter in module.parameters()]


torch.manual_seed(0)
module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))
x = torch.randn(5, 3) + rank
due = [grad.clone() for grad in averages(NaiveDDP(module), module, x)]

ddp = BucketedDDP(module, bucket_cap_bytes=100)
ddp(x).sum().backward()
for _ in range(2):  # a second pass outside no_sync(), and one inside, come too late for the buckets
    try:
        ddp(x).sum().backward()
    except RuntimeError as error:
        print(f"rank {rank} refused: {str(error)[:51]}", flush=True)
ddp.finish_grad_sync()
print(f"rank {rank} right afterwards: {all(map(torch.allclose, averages(ddp, module, x), due))}", flush=True)

hook = module[0].register_full_backward_pre_hook(lambda *_: 1 / 0)
try:
    ddp(x).sum().backward()
except ZeroDivisionError:
    hook.remove()
ddp.finish_grad_sync()
print(f"rank {rank} right after an exception: {all(map(torch.allclose, averages(ddp, module, x), due))}", flush=True)

for make in (NaiveDDP, lambda module: BucketedDDP(module, 100)):
    table = nn.Embedding(6, 2, sparse=True)
    wrapped = make(table)
    wrapped(torch.tensor([rank, 3])).sum().backward()
    wrapped.finish_grad_sync()
    print(f"rank {rank} sparse: {table.weight.grad.to_dense()[:, 0].tolist()}", flush=True)
dist.destroy_process_group()
"""


def torchrun(*command):
    """Run a script on two ranks; return its exit code and all that it printed."""
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*starter, *map(str, command)], capture_output=True, text=True, check=False, timeout=180)
    return done.returncode, done.stdout + done.stderr


def test_the_solutions_run_under_a_plain_torchrun():
    """Every exercise with ranks agrees with one process, on two ranks and with nothing of the course around it."""
    code, printed = torchrun(SCRIPT, "--answers", SOLUTIONS)

    assert code == 0, printed
    assert printed.count("off by") == 6


def test_the_script_says_what_does_not_agree(tmp_path):
    """A wrong file makes the script fail and is named; a stub is left out."""
    for path in (ROOT / "assignments/ch04_data_parallelism").glob("*.py"):
        if (SOLUTIONS / path.name).is_file():
            (tmp_path / path.name).write_text(path.read_text())
    wrong = (SOLUTIONS / "naive_ddp.py").read_text().replace("grad.div_(dist.get_world_size(self.group))", "grad")
    (tmp_path / "naive_ddp.py").write_text(wrong)

    code, printed = torchrun(SCRIPT, "--answers", tmp_path)

    assert code != 0
    assert "Not as one process: naive_ddp." in printed
    assert printed.count("not written yet") == 5


def test_passes_that_fail_are_refused_or_right(tmp_path):
    """A gradient that comes too late is refused, what follows is right, and a sparse gradient counts as a dense one."""
    script = tmp_path / "passes.py"
    script.write_text(PASSES_THAT_FAIL)

    code, printed = torchrun(script, SOLUTIONS)

    assert code == 0, printed
    for rank in range(2):
        assert printed.count(f"rank {rank} refused: A gradient has changed after its bucket was issued.") == 2
        assert f"rank {rank} right afterwards: True" in printed
        assert f"rank {rank} right after an exception: True" in printed
        assert printed.count(f"rank {rank} sparse: [0.5, 0.5, 0.0, 1.0, 0.0, 0.0]") == 2


@pytest.mark.parametrize("name", ["naive_ddp", "bucketed_ddp"])
def test_all_that_travels_is_where_the_parameters_are(name, monkeypatch):
    """Flags of unused parameters are on the parameters' device, as NCCL demands."""
    reduced = []
    monkeypatch.setattr(dist, "broadcast", lambda *_, **__: None)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor, *_, **__: reduced.append(tensor))
    spec = importlib.util.spec_from_file_location(name, SOLUTIONS / f"{name}.py")
    file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(file)
    module = nn.Linear(2, 3, device="meta")
    ddp = file.NaiveDDP(module) if name == "naive_ddp" else file.BucketedDDP(module, 10**6)

    monkeypatch.setattr(dist, "get_world_size", lambda *_: 2)

    with pytest.raises((NotImplementedError, RuntimeError, AttributeError)):  # a tensor of "meta" has no values to read
        ddp.finish_grad_sync()

    assert {tensor.device.type for tensor in reduced} == {"meta"}
    assert any(tensor.dtype == torch.uint8 for tensor in reduced)


def test_the_public_caps_show_every_way_to_fill_buckets_wrongly():
    """Each wrong way, such as from the first parameter on, gives other sizes for a model and a cap of the public tests."""
    pairs = [*PUBLIC_CAPS, ("mixed", 10**6)]
    ways = {way for model, cap in pairs for way in filled_wrongly(model, cap)}

    unseen = [way for way in ways if all(filled_wrongly(*pair)[way] == filled(*pair)[1] for pair in pairs)]

    assert unseen == []
