"""The first process in the cluster's namespaces: it makes the network, starts the daemons, and then waits.

It has process id 1, so the kernel ends everything in the cluster when it ends. SIGTERM ends it, SIGHUP makes it start
the daemons that are gone. Argument: the file with the ClusterPlan.
"""

import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import msgspec

from slurm.dev_cluster.plan import CONTROLLER, CONTROLLER_ADDRESS, NODE_PORT, ClusterPlan, configuration_files

PATIENCE_S = 60.0
# Without root this process has its rights as ambient capabilities. A job that inherited them could start no sandbox.
WITHOUT_RIGHTS = ("setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--")
BRIDGE = "br0"


class Daemons:
    """The processes of the cluster, by name."""

    def __init__(self, plan: ClusterPlan) -> None:
        self._plan = plan
        self._folder = Path(plan.folder)
        self._environment = {**os.environ, "SLURM_CONF": str(plan.configuration / "slurm.conf")}
        self._pids: dict[str, int] = {}
        self._holders: dict[str, int] = {}

    def prepare(self) -> None:
        """Write all files, and make the network and the nodes' namespaces."""
        for name in ("etc", "log", "state", "spool", "munge"):
            (self._folder / name).mkdir(exist_ok=True)
        for name, text in configuration_files(self._plan).items():
            (self._plan.configuration / name).write_text(text)
        key = self._plan.munge / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        # What is mounted here is then mounted on all nodes, like the file system that a cluster shares.
        _run("mount", "--make-rshared", "/")
        _run("mount", "--bind", str(self._plan.configuration / "hosts"), "/etc/hosts")
        socket.sethostname(CONTROLLER)
        _run("ip", "link", "set", "lo", "up")
        # Slurm's clients resolve no address, not even 127.0.0.1, on a machine whose only interface is lo.
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "addr", "add", f"{CONTROLLER_ADDRESS}/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        for number, name in enumerate(self._plan.node_names):
            (self._folder / "spool" / name).mkdir(exist_ok=True)
            self._make_node(number, name)

    def _make_node(self, number: int, name: str) -> None:
        """Make a node's namespaces. A separate process keeps them, so that they outlive the node's slurmd."""
        spaces = ("--net", "--uts", "--mount", "--propagation", "slave")
        hold = ["unshare", *spaces, "sh", "-c", f"hostname {name}; echo made; exec sleep infinity"]
        holder = subprocess.Popen(hold, stdout=subprocess.PIPE)
        assert holder.stdout is not None
        if not holder.stdout.readline():
            raise RuntimeError(f"the namespaces of {name} could not be made")
        self._holders[name] = holder.pid
        outer = f"veth{number}"
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        _run("ip", "link", "set", outer, "master", BRIDGE, "up")
        for command in (
            ("ip", "link", "set", "lo", "up"),
            ("ip", "addr", "add", f"{self._plan.address(number)}/24", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
        ):
            _run(*self._on_node(name), *command)

    def _on_node(self, name: str) -> list[str]:
        target = str(self._holders[name])
        return ["nsenter", "--target", target, "--net", "--mount", "--uts", f"--wdns={self._folder}", "--"]

    def start_missing(self) -> None:
        """Start what does not run, and return when all nodes can be given work."""
        munge = self._plan.munge
        self._start(
            "munged",
            "--foreground",
            "--force",  # without root the folders above its files belong to others
            *(f"--{option}-file={munge / option}" for option in ("key", "pid", "log", "seed")),
            f"--socket={munge / 'sock'}",
        )
        _wait((munge / "sock").exists, "munged has no socket")
        self._start("slurmctld", "-D")
        _wait(lambda: self._ask("scontrol", "ping") is not None, "slurmctld does not answer")
        _wait(self._all_nodes_up, "not all nodes are up")

    def _all_nodes_up(self) -> bool:
        """Start the nodes' daemons that are gone; return whether every node can be given work."""
        self.reap()  # a daemon that was ending may have ended only now
        for name in self._plan.node_names:
            self._start("slurmd", "-D", "-N", name, prefix=self._on_node(name), name=name)
        # The controller takes some time to notice that a slurmd was killed.
        if not all(_is_served(self._plan.address(number)) for number in range(self._plan.nodes)):
            return False
        states = dict(line.split() for line in (self._ask("sinfo", "-hN", "-o", "%N %t") or "").splitlines())
        usable = {"idle", "mix", "alloc", "comp"}
        return states.keys() == set(self._plan.node_names) and usable.issuperset(states.values())

    def _ask(self, *command: str) -> str | None:
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout if done.returncode == 0 else None

    def _start(self, program: str, *arguments: str, prefix: Sequence[str] = (), name: str = "") -> None:
        if (name or program) in self._pids:
            return
        with (self._folder / "log" / f"{name or program}.out").open("ab") as log:
            process = subprocess.Popen(
                [*prefix, *WITHOUT_RIGHTS, program, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        self._pids[name or program] = process.pid

    def reap(self) -> None:
        """Collect the processes that have ended: daemons, and what jobs left behind."""
        with contextlib.suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._pids = {name: known for name, known in self._pids.items() if known != pid}

    def record(self) -> None:
        """Write down the process id of each daemon, as it is in the namespaces, for people and tests."""
        (self._folder / "daemons.json").write_bytes(msgspec.json.encode(self._pids))


def _is_served(address: str) -> bool:
    try:
        socket.create_connection((address, NODE_PORT), timeout=1).close()
    except OSError:
        return False
    return True


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{complaint} after {PATIENCE_S:g} s")
        time.sleep(0.05)


def _only_wake_up(_number: int, _frame: FrameType | None) -> None:
    pass


def main() -> None:
    """Start the cluster of a plan and keep it up until SIGTERM."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ClusterPlan)
    # Signals arrive as bytes, so none can be missed between handling the last ones and waiting for more.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, _only_wake_up)
    daemons = Daemons(plan)
    daemons.prepare()
    ready = Path(plan.folder, "ready")
    signals: set[int] = {signal.SIGHUP}
    while signal.SIGTERM not in signals:
        daemons.reap()
        if signal.SIGHUP in signals:
            daemons.start_missing()
            daemons.record()
            ready.touch()
        select.select([reader], [], [])
        signals = set(reader.recv(4096))


if __name__ == "__main__":
    main()
