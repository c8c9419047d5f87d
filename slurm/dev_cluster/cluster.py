"""The cluster as seen from outside its namespaces: start it, look at it, run a command in it, end it."""

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from course_env.errors import ExecutorError, UsageError
from slurm.dev_cluster import sacct
from slurm.dev_cluster.plan import MAX_GPUS, MAX_NODES, ClusterPlan

NEEDED = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "ip", "unshare", "nsenter", "setpriv")
HOW_TO_GET = "apt install slurm-wlm munge iproute2"
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not in every user's PATH
START_S = 90.0
STOP_S = 5.0
MAX_LAST_WORDS = 2000
MAX_FOLDER_BYTES = 80  # a socket's path has room for 107


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process. When it started tells it apart from a later one with the same id."""

    pid: int
    started: int
    """In clock ticks since boot, as /proc gives it."""

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Return the process that has this id now.

        Raises: OSError if there is none.
        """
        return cls(pid=pid, started=int(_stat(pid)[19]))

    def is_alive(self) -> bool:
        """Return whether it runs."""
        try:
            fields = _stat(self.pid)
        except OSError:
            return False
        return fields[0] != "Z" and int(fields[19]) == self.started


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise ExecutorError(
            f"User id {os.getuid()} has no name in /etc/passwd, and Slurm knows users by name."
        ) from None


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on: the name before it may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class ClusterState(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster that was started."""

    plan: ClusterPlan
    holder: Process
    """The `unshare` that made its namespaces; if it dies, the cluster ends."""

    first: Process
    """The first process in its namespaces, by its id outside them."""


def missing_programs() -> list[str]:
    """Return the programs that a cluster needs and this machine lacks."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SBIN])
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


def default_folder() -> Path:
    """Return the folder of this user's cluster if no other was given."""
    return Path(tempfile.gettempdir(), f"slurm-dev-{os.getuid()}")


class DevCluster:
    """The cluster in one folder, whether it runs or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @property
    def state(self) -> ClusterState | None:
        """The cluster that runs in the folder, or None."""
        try:
            state = msgspec.json.decode((self.folder / "state.json").read_bytes(), type=ClusterState)
        except FileNotFoundError:
            return None
        return state if state.first.is_alive() else None

    def up(self, *, nodes: int, cpus: int, gpus: int) -> ClusterState:
        """Start the cluster; if it runs, start those of its daemons that do not run.

        Raises: UsageError for a size or folder that is not allowed; ExecutorError if it does not come up.
        """
        self._check(nodes=nodes, cpus=cpus, gpus=gpus)
        self._own_folder()
        with self._locked():
            state = self.state
            if state is None:
                plan = ClusterPlan(folder=str(self.folder), nodes=nodes, cpus=cpus, gpus=gpus, user=_user_name())
                return self._start(plan)
            if (state.plan.nodes, state.plan.cpus, state.plan.gpus) != (nodes, cpus, gpus):
                raise UsageError(f"Another cluster runs in {self.folder}: {shape(state.plan)}. First type `down`.")
            (self.folder / "ready").unlink(missing_ok=True)
            os.kill(state.first.pid, signal.SIGHUP)
            self._wait_until_ready(state.holder)
            return state

    def _check(self, *, nodes: int, cpus: int, gpus: int) -> None:
        for name, value, least, most in (
            ("nodes", nodes, 1, MAX_NODES),
            ("cpus", cpus, 1, 1024),
            ("gpus", gpus, 0, MAX_GPUS),
        ):
            if not least <= value <= most:
                raise UsageError(f"--{name} is {value}, and must be from {least} to {most}.")
        if len(os.fsencode(self.folder)) > MAX_FOLDER_BYTES:
            raise UsageError(f"{self.folder} is too long for the path of a socket in it. Give a shorter --folder.")
        if missing := missing_programs():
            raise ExecutorError(f"The development cluster needs {', '.join(missing)}. Install them: {HOW_TO_GET}.")

    def _own_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self.folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise UsageError(f"{self.folder} is not yours alone to write to. Give another --folder.")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self, plan: ClusterPlan) -> ClusterState:
        self._clear()
        self._write_sacct()
        (self.folder / "plan.json").write_bytes(msgspec.json.encode(plan))
        ids = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
        command = [
            *("unshare", *ids, "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"),
            *(sys.executable, "-m", "slurm.dev_cluster.init_process", str(self.folder / "plan.json")),
        ]
        root = str(Path(__file__).parents[2])
        pid = os.posix_spawnp(
            command[0],
            command,
            {**environment(self.folder), "PYTHONPATH": os.pathsep.join([root, *_python_path()])},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.folder / "init_process.log"), os.O_WRONLY | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        holder = Process.of(pid)
        try:
            self._wait_until_ready(holder)
            first = Process.of(int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text()))
            state = ClusterState(plan=plan, holder=holder, first=first)
            (self.folder / "state.json").write_bytes(msgspec.json.encode(state))
        except BaseException:
            if holder.is_alive():
                os.kill(pid, signal.SIGKILL)
            raise
        return state

    def _clear(self) -> None:
        """Remove what an earlier cluster left: job ids start again, so its files would be taken for those of the new one."""
        for entry in self.folder.iterdir():
            if entry.name == "lock":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _write_sacct(self) -> None:
        program = self.folder / "bin" / "sacct"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{sacct.__file__}" "$@"\n')
        program.chmod(0o755)

    def _wait_until_ready(self, holder: Process) -> None:
        end = time.monotonic() + START_S
        while not (self.folder / "ready").exists():
            _collect(holder.pid)
            if not holder.is_alive() or time.monotonic() > end:
                log = (self.folder / "init_process.log").read_text(errors="replace")[-MAX_LAST_WORDS:].strip()
                raise ExecutorError(
                    f"The development cluster did not come up. Its logs are in {self.folder}. Its last words:\n{log}"
                )
            time.sleep(0.02)

    def down(self) -> bool:
        """End the cluster and everything in it; return whether one was running."""
        state = self.state
        if state is None:
            return False
        os.kill(state.first.pid, signal.SIGTERM)
        end = time.monotonic() + STOP_S
        while state.holder.is_alive() and time.monotonic() < end:
            _collect(state.holder.pid)
            time.sleep(0.02)
        if state.holder.is_alive():
            os.kill(state.holder.pid, signal.SIGKILL)  # its child dies with it, and so does the rest
        (self.folder / "state.json").unlink()
        return True

    def enter(self, command: Sequence[str], folder: Path | None = None) -> list[str]:
        """Return the command that runs `command` inside, in `folder` or else in this process's; start it with `environment`.

        Raises: ExecutorError if the cluster does not run.
        """
        state = self.state
        if state is None:
            raise ExecutorError(f"No development cluster runs in {self.folder}. Type: python -m slurm.dev_cluster up")
        target = str(state.first.pid)
        ids = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        spaces = ("--net", "--mount", "--uts", "--pid")
        return ["nsenter", "--target", target, *ids, *spaces, f"--wdns={folder or Path.cwd()}", "--", *command]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command that runs inside, without variables of a job of another cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    path = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", os.defpath), *SBIN])
    return {**kept, "PATH": path, "SLURM_CONF": str(folder / "etc" / "slurm.conf")}


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def shape(plan: ClusterPlan) -> str:
    """Return a cluster in words."""
    return f"{plan.nodes} nodes ({', '.join(plan.node_names)}) with {plan.cpus} CPUs and {plan.gpus} GPUs each"


def node_states(cluster: DevCluster) -> Mapping[str, str]:
    """Return the state of each node, by name, as Slurm calls it.

    Raises: ExecutorError if the controller does not answer.
    """
    command = cluster.enter(["sinfo", "-hN", "-o", "%N %T"])
    done = subprocess.run(command, env=environment(cluster.folder), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExecutorError(f"The controller does not answer: {done.stderr.strip()} Type `up` to start what is gone.")
    return dict(line.split() for line in done.stdout.splitlines())


def _collect(pid: int) -> None:
    """Collect a child of this process if it has ended, so that it does not look alive."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
