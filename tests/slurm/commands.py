"""What tests do with a cluster: run a command in it, kill what is in it."""

import json
import subprocess
import time

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
        """Return the id that a daemon has inside."""
        return json.loads((self.folder / "daemons.json").read_text())[daemon]

    def kill(self, daemon):
        """End a daemon as a fault would."""
        self.run("kill", "-9", str(self.pid_inside(daemon)))

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
