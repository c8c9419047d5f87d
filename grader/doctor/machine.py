"""What this machine offers the course, and what the lack of each thing costs: the facts behind `course doctor`.

Every probe is bounded in time, and none can raise. This process never imports torch: a short-lived child process answers
what only torch knows.
"""

import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import course_env

OLDEST_PYTHON = (3, 11)
ENOUGH_CPUS = 2
# Eight ranks, the most a test starts, and the judge: each holds some hundred MB in addition to the shared pages.
ENOUGH_MEMORY_BYTES = 4 << 30
# A container's default. The files of a launch are small; data loader workers pass whole batches through it.
ENOUGH_SHARED_MEMORY_BYTES = 64 << 20
ENOUGH_DISK_BYTES = 1 << 30
PROBE_S = 5.0
TORCH_PROBE_S = 60.0  # a first import from a cold or shared disk

INSTALL = "pip install -c course_env/constraints.txt -e"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, not written to

ASK_TORCH = """
import json, torch, torch.distributed as dist
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
nccl = dist.is_available() and dist.is_nccl_available()
print(json.dumps({
    "gloo": dist.is_available() and dist.is_gloo_available(),
    "nccl": ".".join(map(str, torch.cuda.nccl.version())) if nccl else "",
    "gpus": gpus,
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing the course can make use of."""

    name: str
    present: bool
    """Whether it is here and usable."""

    detail: str
    """What exactly is here, or why it does not count."""

    cost_of_absence: str
    """What cannot be done without it."""

    how_to_get: str
    """What to type, or whom to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A probe, and what to say about its answer."""

    name: str
    probe: Callable[[], tuple[bool, str]]
    """Returns whether the thing is present, and the detail."""

    cost_of_absence: str
    how_to_get: str

    def find(self) -> Finding:
        """Return the finding; a probe that fails for whatever reason counts as absence."""
        try:
            present, detail = self.probe()
        except Exception as error:  # noqa: BLE001 - the doctor must get through whatever state a machine is in
            present, detail = False, _reason(error)
        return Finding(
            name=self.name,
            present=present,
            detail=detail,
            cost_of_absence=self.cost_of_absence,
            how_to_get=self.how_to_get,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFacts:
    """What an installed torch reports about itself and the machine."""

    gloo: bool = False
    """Whether torch was built with gloo."""

    nccl: str = ""
    """NCCL's version; empty without NCCL."""

    gpus: tuple[str, ...] = ()
    """The name of each GPU that torch sees."""

    problem: str = ""
    """Why there are no facts."""


def examine() -> tuple[Finding, ...]:
    """Return a finding for each check, in the order of CHECKS. Takes a few seconds, most of them torch's import."""
    _torch_facts.cache_clear()
    return tuple(check.find() for check in CHECKS)


def _python() -> tuple[bool, str]:
    return sys.version_info >= OLDEST_PYTHON, f"{platform.python_version()} at {sys.executable}"


def _torch() -> tuple[bool, str]:
    installed, tested = _version("torch"), _tested_version("torch")
    if installed is None:
        return False, "Not installed."
    if installed.partition("+")[0] != tested:  # 2.13.0+cpu and 2.13.0+cu130 are builds of 2.13.0
        return False, f"{installed} is installed; the course is tested with {tested}."
    return True, f"{installed}, the version the course is tested with"


def _gloo() -> tuple[bool, str]:
    facts = _torch_facts()
    return facts.gloo, "built into torch" if facts.gloo else facts.problem or "This torch was built without gloo."


def _cpus() -> tuple[bool, str]:
    usable, all_cpus = len(os.sched_getaffinity(0)), os.cpu_count()
    return usable >= ENOUGH_CPUS, f"{usable} usable of {all_cpus}"


def _memory() -> tuple[bool, str]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)}
    available, total = kib["MemAvailable"] << 10, kib["MemTotal"] << 10
    return available >= ENOUGH_MEMORY_BYTES, f"{_gib(available)} available of {_gib(total)}"


def _shared_memory() -> tuple[bool, str]:
    size = shutil.disk_usage(SHARED_MEMORY)
    if not os.access(SHARED_MEMORY, os.W_OK):
        return False, f"{SHARED_MEMORY} cannot be written to."
    return size.free >= ENOUGH_SHARED_MEMORY_BYTES, f"{_gib(size.free)} free of {_gib(size.total)} in {SHARED_MEMORY}"


def _disk() -> tuple[bool, str]:
    size = shutil.disk_usage(Path.cwd())
    return size.free >= ENOUGH_DISK_BYTES, f"{_gib(size.free)} free of {_gib(size.total)} here"


def _gpus() -> tuple[bool, str]:
    facts = _torch_facts()
    return bool(facts.gpus), ", ".join(facts.gpus) or facts.problem or "torch sees none."


def _nccl() -> tuple[bool, str]:
    facts = _torch_facts()
    return bool(facts.nccl), facts.nccl or facts.problem or "This torch was built without NCCL."


def _slurm() -> tuple[bool, str]:
    missing = [command for command in ("srun", "sbatch", "sinfo") if shutil.which(command) is None]
    if missing:
        return False, f"Not on PATH: {', '.join(missing)}."
    return True, _output("sinfo", "--version")


def _git() -> tuple[bool, str]:
    if shutil.which("git") is None:
        return False, "git is not on PATH."
    return True, _output("git", "--version")


def _package(name: str) -> Callable[[], tuple[bool, str]]:
    """Return the probe for an installed package of any version."""

    def probe() -> tuple[bool, str]:
        version, tested = _version(name), _tested_version(name)
        if version is None:
            return False, "Not installed."
        return True, version if version == tested else f"{version}; the course is tested with {tested}"

    return probe


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tested_version(package: str) -> str:
    lines = Path(course_env.__file__).with_name("constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return pins[package]


@functools.cache
def _torch_facts() -> TorchFacts:
    """Ask a child process, once for all checks: a broken torch would otherwise cost each of them the time-out."""
    if _version("torch") is None:
        return TorchFacts(problem="torch is not installed.")
    try:
        lines = _output(sys.executable, "-c", ASK_TORCH, timeout_s=TORCH_PROBE_S).splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        return TorchFacts(problem=f"torch does not answer. {_reason(error)}")
    facts = json.loads(lines[-1])
    return TorchFacts(gloo=facts["gloo"], nccl=facts["nccl"], gpus=tuple(facts["gpus"]))


def _output(*command: str, timeout_s: float = PROBE_S) -> str:
    """Return what a command prints. Raises: CalledProcessError if it fails, TimeoutExpired."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()


def _reason(error: Exception) -> str:
    """Return one line that says why a probe failed."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"No answer within {error.timeout:g} s."
    if isinstance(error, subprocess.CalledProcessError):
        last_words = (error.stderr or "").strip().splitlines()[-1:]
        return f"{Path(error.cmd[0]).name} failed: {' '.join(last_words) or f'exit code {error.returncode}'}"
    return f"Could not be examined: {type(error).__name__}: {error}"


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 30):.1f} GiB"


CHECKS = (
    Check(
        name="Python",
        probe=_python,
        cost_of_absence="The course does not run on an older Python.",
        how_to_get="Install Python 3.11 or later, remove .venv, and make the environment again.",
    ),
    Check(
        name="torch",
        probe=_torch,
        cost_of_absence="Without torch no exercise can be run; with another version numbers and messages may differ.",
        how_to_get=f"{INSTALL} .",
    ),
    Check(
        name="gloo",
        probe=_gloo,
        cost_of_absence="Ranks cannot communicate on CPUs, so only exercises of a single process can be checked.",
        how_to_get=f"Use torch's own wheels, which contain it: {INSTALL} .",
    ),
    Check(
        name="CPUs",
        probe=_cpus,
        cost_of_absence=f"With fewer than {ENOUGH_CPUS} CPUs ranks take turns: tests are slow and may pass their deadline.",
        how_to_get="Give the container, the job or the virtual machine more CPUs.",
    ),
    Check(
        name="memory",
        probe=_memory,
        cost_of_absence=f"With less than {_gib(ENOUGH_MEMORY_BYTES)} a test of 8 ranks may be killed for lack of memory.",
        how_to_get="End other programs, or give the container, the job or the virtual machine more memory.",
    ),
    Check(
        name="shared memory",
        probe=_shared_memory,
        cost_of_absence="If it cannot be written to, each launch keeps its files on disk, which is slower; if it is small, data loader workers may die of SIGBUS.",
        how_to_get="In a container: docker run --shm-size=1g",
    ),
    Check(
        name="disk",
        probe=_disk,
        cost_of_absence=f"With less than {_gib(ENOUGH_DISK_BYTES)} free, checkpoints and results may not be written.",
        how_to_get="Remove files, or work on another disk.",
    ),
    Check(
        name="GPUs",
        probe=_gpus,
        cost_of_absence="Tests that need a GPU are reported as not gradable here; all others run on CPUs.",
        how_to_get="Nothing to install: run those tests on a machine that has GPUs, with a CUDA build of torch.",
    ),
    Check(
        name="NCCL",
        probe=_nccl,
        cost_of_absence="Ranks communicate through gloo only, also where there are GPUs.",
        how_to_get="Install a CUDA build of torch, which contains it.",
    ),
    Check(
        name="Slurm",
        probe=_slurm,
        cost_of_absence="Work runs on this machine only. No exercise needs Slurm.",
        how_to_get="Log in to a node of a cluster, or ask its administrators which module gives these commands.",
    ),
    Check(
        name="DeepSpeed",
        probe=_package("deepspeed"),
        cost_of_absence="Exercises that use DeepSpeed are reported as not gradable here.",
        how_to_get=f'{INSTALL} ".[deepspeed]"',
    ),
    Check(
        name="git",
        probe=_git,
        cost_of_absence="`grade check` cannot apply mutants. Students can work without it.",
        how_to_get="apt install git, or dnf install git.",
    ),
    Check(
        name="nbgrader",
        probe=_package("nbgrader"),
        cost_of_absence="Nothing is lost: results are JSON files, and no command writes to nbgrader's gradebook.",
        how_to_get=f'{INSTALL} ".[nbgrader]"',
    ),
)
