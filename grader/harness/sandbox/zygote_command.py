"""The command that starts a zygote behind a wall."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from grader.harness.protocol.messages import Network, ZygoteSettings
from grader.harness.protocol.wall import Wall
from grader.harness.sandbox import bubblewrap, visible

# Behind landlock only: what Python, torch and gloo read of the machine itself.
MACHINE = (
    "/proc",
    "/sys/class",
    "/sys/bus",
    "/sys/devices",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/host.conf",
    "/etc/services",
    "/etc/gai.conf",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command and what it starts with."""

    arguments: Sequence[str]
    descriptors: Sequence[int]
    """Those that it inherits."""

    environment: Mapping[str, str]
    """The whole of it."""


@contextmanager
def zygote_command(
    wall: Wall,
    control: int,
    scratch: Path | None,
    groups: Sequence[Path],
    preload: Sequence[str],
    *,
    network: Network | None,
    gpus: bool,
) -> Iterator[Command]:
    """Yield the command that starts a zygote; run it only within the block.

    control: descriptor of the zygote's end of the socket to the judge
    scratch: folder of the machine that a zygote without bubblewrap may write to; None behind bubblewrap
    groups: control groups that the sandbox joins
    network: on which ranks of several machines meet; None: they meet only ranks of their own launch
    gpus: whether ranks can use the machine's GPUs
    """
    home = bubblewrap.HOME if wall.is_bubblewrap else str(scratch)
    settings = ZygoteSettings(
        control=control,
        wall=wall,
        scratch=home,
        preload=tuple(preload),
        visible=_visible(wall),
        network=network,
    )
    zygote = [sys.executable, "-I", "-m", "grader.harness.inside.zygote", msgspec.json.encode(settings).decode()]
    interface = "lo" if network is None else network.interface
    environment = {**_environment(home, interface), **(_environment_with_gpus(interface) if gpus else {})}
    if wall.is_bubblewrap:
        with bubblewrap.etc_files() as files:
            inside = bubblewrap.Inside(
                program=zygote,
                environment=environment,
                files=files,
                devices=visible.gpu_devices() if gpus else (),
                has_own_network=network is None,
            )
            arguments = bubblewrap.arguments(inside, groups)
            yield Command(arguments=arguments, descriptors=(control, *files.values()), environment={})
    else:
        yield Command(arguments=zygote, descriptors=(control,), environment=environment)


def _visible(wall: Wall) -> tuple[str, ...]:
    machine = MACHINE if wall is Wall.LANDLOCK else ()
    return (*(str(path) for path in visible.paths()), *(path for path in machine if Path(path).exists()))


def _environment(home: str, interface: str) -> dict[str, str]:
    """Return the environment of ranks. Each gets one thread: ranks share the cores, and forking needs it."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": interface,
        "DS_ACCELERATOR": "cpu",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _environment_with_gpus(interface: str) -> dict[str, str]:
    """Return what else the environment of ranks with GPUs has, including this machine's settings for NCCL."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("NCCL_")}
    order = {name: os.environ[name] for name in ("CUDA_DEVICE_ORDER",) if name in os.environ}
    return {
        **settings,
        **order,
        "NCCL_SOCKET_IFNAME": interface,
        "NCCL_IB_DISABLE": "1",  # it needs device files, which ranks lack, and locked memory, which they may not have
        "NVIDIA_TF32_OVERRIDE": "0",  # float32 means float32
    }
