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

# With landlock only: what Python, torch and gloo read of the machine itself.
MACHINE = (
    "/proc",
    "/sys/class",
    "/sys/bus",
    "/sys/devices",
    "/dev/urandom",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/host.conf",
    "/etc/services",
    "/etc/gai.conf",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command, the descriptors that it inherits, and its whole environment."""

    arguments: Sequence[str]
    descriptors: Sequence[int]
    environment: Mapping[str, str]


@contextmanager
def zygote_command(
    wall: Wall,
    control: int,
    scratch: Path,
    groups: Sequence[Path],
    preload: Sequence[str],
    *,
    network: Network | None,
    gpus: bool,
) -> Iterator[Command]:
    """Yield the command that starts a zygote; it may be run while the block lasts.

    `control` is the zygote's end of the judge's socket, `scratch` a folder outside that a zygote without a file
    system of its own may write to, `groups` the control groups that a sandbox joins, `network` what ranks of several
    machines meet on, if they do; `gpus`: ranks can use the machine's.
    Raises: OSError if the wall's program is not installed.
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
    """All that ranks see of the environment. One thread a rank: ranks share the cores, and forks need it."""
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
    """All that ranks with GPUs see besides; how this machine wants NCCL to be is among it."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("NCCL_")}
    order = {name: os.environ[name] for name in ("CUDA_DEVICE_ORDER",) if name in os.environ}
    return {
        **settings,
        **order,
        "NCCL_SOCKET_IFNAME": interface,
        "NCCL_IB_DISABLE": "1",  # no device files of InfiniBand are there, and no memory may be locked for them
        "NVIDIA_TF32_OVERRIDE": "0",  # float32 means float32
    }
