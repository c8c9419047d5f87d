"""The doctor on machines of every state, none of them this one: commands, packages and files are stood in for."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from grader.doctor import machine
from grader.doctor.machine import CHECKS, Check, Finding, TorchFacts, examine

DiskUsage = namedtuple("DiskUsage", ["total", "used", "free"])  # noqa: PYI024 - shutil's own is private

AddCommand = Callable[[str, str], None]


@pytest.fixture
def add_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddCommand:
    """Empty PATH; return what puts a command of the given shell script on it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def add(name: str, script: str) -> None:
        command = tmp_path / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)

    return add


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Return what makes exactly the given packages and versions count as installed."""

    def install(versions: Mapping[str, str]) -> None:
        def version(package: str) -> str:
            if package not in versions:
                raise importlib.metadata.PackageNotFoundError(package)
            return versions[package]

        monkeypatch.setattr(importlib.metadata, "version", version)

    install({})
    return install


@pytest.fixture
def torch_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[TorchFacts], None]:
    """Return what fixes the answer of the child process that imports torch."""
    return lambda facts: monkeypatch.setattr(machine, "_torch_facts", lambda: facts)


@pytest.fixture
def python(add_command: AddCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Return what replaces the interpreter of child processes by a shell script, and forgets torch's earlier answer."""
    machine._torch_facts.cache_clear()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return lambda script: add_command("python", script)


def find(name: str) -> Finding:
    """Return the finding of the check of that name."""
    return next(check for check in CHECKS if check.name == name).find()


def test_old_python_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python before 3.11 counts as absent, and its version is shown."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))
    monkeypatch.setattr("platform.python_version", lambda: "3.10.2")
    finding = find("Python")
    assert not finding.present
    assert "3.10.2" in finding.detail


@pytest.mark.parametrize("build", ["", "+cpu", "+cu130"])
def test_every_build_of_the_tested_torch_counts(build: str, install: Callable[[Mapping[str, str]], None]) -> None:
    """The part of torch's version after the plus sign does not matter."""
    install({"torch": machine._tested_version("torch") + build})
    assert find("torch").present


def test_another_torch_is_named_with_the_tested_one(install: Callable[[Mapping[str, str]], None]) -> None:
    """If another torch than the pinned one is installed, the finding shows both versions."""
    install({"torch": "1.0.0"})
    finding = find("torch")
    assert not finding.present
    assert finding.detail == f"1.0.0 is installed; the course is tested with {machine._tested_version('torch')}."


def test_no_torch(install: Callable[[Mapping[str, str]], None]) -> None:
    """Without torch no child process is started to ask it, and what torch would know is absent for that reason."""
    install({})
    machine._torch_facts.cache_clear()
    assert find("torch").detail == "Not installed."
    for name in ("gloo", "GPUs", "NCCL"):
        assert find(name).detail == "torch is not installed."
        assert not find(name).present


def test_what_torch_answers_is_shown(
    python: Callable[[str], None], install: Callable[[Mapping[str, str]], None]
) -> None:
    """gloo, NCCL and GPUs are reported as the child process names them, whatever it prints before."""
    install({"torch": "2.13.0"})
    python("""echo some warning; echo '{"gloo": true, "nccl": "2.28.9", "gpus": ["H100", "H100"]}'""")
    assert find("gloo").present
    assert find("NCCL").detail == "2.28.9"
    assert find("GPUs").detail == "H100, H100"


def test_machine_without_gpu(torch_says: Callable[[TorchFacts], None]) -> None:
    """On a machine without a GPU, GPUs and NCCL are absent while gloo is present."""
    torch_says(TorchFacts(gloo=True))
    assert find("gloo").present
    assert find("GPUs").detail == "torch sees none."
    assert find("NCCL").detail == "This torch was built without NCCL."


def test_torch_that_cannot_be_imported(
    python: Callable[[str], None], install: Callable[[Mapping[str, str]], None]
) -> None:
    """The last line of a failing import is shown; the doctor goes on."""
    install({"torch": "2.13.0"})
    python("echo Traceback >&2; echo 'OSError: libgomp.so.1: cannot open' >&2; exit 1")
    assert find("gloo").detail == "torch does not answer. python failed: OSError: libgomp.so.1: cannot open"


def test_torch_that_hangs_is_asked_once(
    python: Callable[[str], None], install: Callable[[Mapping[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import of torch that never ends costs its time-out once, not once per check."""
    monkeypatch.setattr(machine, "TORCH_PROBE_S", 0.2)
    install({"torch": "2.13.0"})
    python("exec /bin/sleep 30")
    start = time.monotonic()
    details = {find(name).detail for name in ("gloo", "GPUs", "NCCL")}
    assert details == {"torch does not answer. No answer within 0.2 s."}
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(("usable", "present"), [(1, False), (2, True)])
def test_cpus_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch, usable: int, *, present: bool) -> None:
    """What counts is the affinity mask, as a job's or container's limit shows there, not the CPUs of the machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(usable)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    finding = find("CPUs")
    assert finding.present == present
    assert finding.detail == f"{usable} usable of 64"


@pytest.mark.parametrize(("available_kib", "present"), [(1 << 20, False), (8 << 20, True)])
def test_memory_is_what_is_available(monkeypatch: pytest.MonkeyPatch, available_kib: int, *, present: bool) -> None:
    """Memory in use by others does not count."""
    text = f"MemTotal: {16 << 20} kB\nMemAvailable: {available_kib} kB\nHugePages_Total: 0\n"
    monkeypatch.setattr(Path, "read_text", lambda _path: text)
    finding = find("memory")
    assert finding.present == present
    assert finding.detail == f"{available_kib >> 20}.0 GiB available of 16.0 GiB"


@pytest.mark.parametrize(("free_mib", "present"), [(1, False), (1024, True)])
@pytest.mark.parametrize("name", ["shared memory", "disk"])
def test_room_for_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, free_mib: int, *, present: bool
) -> None:
    """Shared memory or a disk with too little free room counts as absent."""
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: DiskUsage(2 << 30, 0, free_mib << 20))
    assert find(name).present == present


def test_shared_memory_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A missing /dev/shm is a finding like any other."""
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path / "nothing")
    finding = find("shared memory")
    assert not finding.present
    assert "FileNotFoundError" in finding.detail


def test_slurm_names_the_commands_that_are_missing(add_command: AddCommand) -> None:
    """A machine with some of Slurm's commands is told which others it lacks."""
    add_command("sinfo", "echo slurm 24.11.0")
    assert find("Slurm").detail == "Not on PATH: srun, sbatch."


def test_slurm_with_its_version(add_command: AddCommand) -> None:
    """With all commands on PATH the finding is what sinfo says of its version."""
    for command in ("srun", "sbatch", "sinfo"):
        add_command(command, "echo slurm 24.11.0")
    finding = find("Slurm")
    assert finding.present
    assert finding.detail == "slurm 24.11.0"


def test_command_that_hangs(add_command: AddCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that does not come back is ended, and counts as absence."""
    monkeypatch.setattr(machine._output, "__kwdefaults__", {"timeout_s": 0.2})
    add_command("git", "exec /bin/sleep 30")
    finding = find("git")
    assert not finding.present
    assert finding.detail == "No answer within 0.2 s."


def test_git(add_command: AddCommand) -> None:
    """Git is absent from an empty PATH, and present with its version from one that has it."""
    assert find("git").detail == "git is not on PATH."
    add_command("git", "echo git version 2.47.0")
    assert find("git").detail == "git version 2.47.0"


@pytest.mark.parametrize(("name", "package"), [("DeepSpeed", "deepspeed"), ("nbgrader", "nbgrader")])
def test_optional_packages(name: str, package: str, install: Callable[[Mapping[str, str]], None]) -> None:
    """An optional package is present in any version; another version than the tested one is pointed out."""
    tested = machine._tested_version(package)
    install({})
    assert find(name).detail == "Not installed."
    install({package: tested})
    assert find(name).detail == tested
    install({package: "0.0.1"})
    assert find(name).present
    assert find(name).detail == f"0.0.1; the course is tested with {tested}"


def test_probe_that_raises_is_an_absence() -> None:
    """A probe that raises counts as absence, and does not end the examination."""

    def probe() -> tuple[bool, str]:
        raise ZeroDivisionError("by zero")

    finding = Check(name="x", probe=probe, cost_of_absence="", how_to_get="").find()
    assert not finding.present
    assert finding.detail == "Could not be examined: ZeroDivisionError: by zero"


def test_examination_finds_something_of_each_check(
    add_command: AddCommand, install: Callable[[Mapping[str, str]], None]
) -> None:
    """On a machine with nothing at all every check still gives a finding with a detail, its cost and its remedy."""
    findings = examine()
    assert [finding.name for finding in findings] == [check.name for check in CHECKS]
    assert all(finding.detail and finding.cost_of_absence and finding.how_to_get for finding in findings)


def test_doctor_does_not_import_torch() -> None:
    """`import grader.doctor.machine` is cheap: torch is not loaded by it."""
    code = "import sys, grader.doctor.machine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
