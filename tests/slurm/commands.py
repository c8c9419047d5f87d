"""What tests do with a cluster: run commands in it, mount folders in it, and kill its daemons and nodes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm.dev_cluster.cluster import DevCluster, environment

COMMAND_S = 240


class Cluster:
    """A development cluster that runs."""

    def __init__(self, folder):
        self.folder = folder
        self.dev = DevCluster(folder)

    def run(self, *command, code=0, env=None, cwd=None, merged=False, patience_s=COMMAND_S):
        """Run a command inside, to its end; return what it printed, errors too if they are to be merged."""
        done = subprocess.run(
            self.dev.enter(command, cwd),
            env={**environment(self.folder), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
            timeout=patience_s,
            check=False,
        )
        assert code == done.returncode, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command, cwd=None):
        """Start a command inside that goes on while the test does something to it."""
        return subprocess.Popen(
            self.dev.enter(command, cwd),
            env=environment(self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pid_inside(self, daemon):
        """Return the process id of a daemon inside the cluster."""
        return json.loads((self.folder / "daemons.json").read_text())[daemon]

    def kill(self, daemon):
        """End a daemon as a fault would."""
        self.run("kill", "-9", str(self.pid_inside(daemon)))

    def kill_node(self, name):
        """End everything on a node, and the node: its namespaces go with their last process."""
        host = Path(f"/proc/{self._pid_of(name)}/ns/uts").readlink()
        while left := processes_in(host):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def mount(self, folder, size):
        """Mount a small file system that all nodes see; return the folder as it is seen from outside."""
        first = self.dev.state.first.pid
        _mount(first, "none", folder, "tmpfs", f"size={size}")
        return Path(f"/proc/{first}/root", *folder.parts[1:])

    def show(self, node, source, folder):
        """Have a node see the folder `source` under the name `folder`."""
        _mount(self._pid_of(node), source, folder, "bind", "")

    def _pid_of(self, daemon):
        """Return the process id of a daemon outside the cluster."""
        inside = self.pid_inside(daemon)
        namespace = Path(f"/proc/{self.dev.state.first.pid}/ns/pid").readlink()
        (pid,) = [pid for pid in processes_in(namespace) if inside == _innermost_id(pid)]
        return pid

    def job_state(self, job):
        """Return a job's state as Slurm calls it."""
        fields = self.run("scontrol", "--oneliner", "show", "job", str(job)).split()
        return dict(word.partition("=")[::2] for word in fields)["JobState"]

    def wait_for(self, job, *states):
        """Wait until a job is in one of these states."""
        end = time.monotonic() + COMMAND_S
        while (state := self.job_state(job)) not in states:
            assert time.monotonic() < end, f"job {job} is {state}"
            time.sleep(0.1)
        return state


def processes_in(namespace):
    """Return the ids of the processes in a namespace, which is given as /proc shows it."""
    kind = str(namespace).partition(":")[0]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "ns" / kind).readlink() == namespace:
                found.append(int(process.name))
    return found


def _innermost_id(pid):
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[-1]) for line in lines if line.startswith("NSpid:"))
    return None


def _mount(pid, *words):
    program = Path(__file__).parent / "mount_in.py"
    subprocess.run([sys.executable, program, str(pid), *map(str, words)], check=True)
