"""The names, addresses and configuration files of a cluster, as values; nothing is written or started here."""

from pathlib import Path

import msgspec

CONTROLLER = "ctl"
NETWORK = "10.99.0"
CONTROLLER_ADDRESS = f"{NETWORK}.1"
FIRST_NODE = 10  # last number of the first node's address
MAX_NODES = 64
MAX_GPUS = 64
CONTROLLER_PORT = 26817
NODE_PORT = 26820  # the same on every node, because each has a separate network


class ClusterPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster."""

    folder: str
    """Holds its configuration, logs, sockets and state."""

    nodes: int
    """How many."""

    cpus: int
    """Of each node, as Slurm believes."""

    gpus: int
    """Of each node, as Slurm believes."""

    user: str
    """The name of the user who starts it."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes' host names."""
        return tuple(f"node{number}" for number in range(self.nodes))

    @property
    def configuration(self) -> Path:
        """The folder in which Slurm looks for its files."""
        return Path(self.folder, "etc")

    @property
    def munge(self) -> Path:
        """The folder of munged's key and socket."""
        return Path(self.folder, "munge")

    def address(self, number: int) -> str:
        """Return the address of node `number`."""
        return f"{NETWORK}.{FIRST_NODE + number}"


def configuration_files(plan: ClusterPlan) -> dict[str, str]:
    """Return the text of each file in the configuration folder, by name."""
    return {
        "slurm.conf": slurm_conf(plan),
        "gres.conf": _gres_conf(plan),
        "cgroup.conf": "CgroupPlugin=cgroup/v1\nConstrainCores=no\nConstrainRAMSpace=no\n",
        "hosts": _hosts(plan),
    }


def slurm_conf(plan: ClusterPlan) -> str:
    """Return slurm.conf: all files are in the plan's folder, and nothing needs cgroups, accounting or root."""
    folder, last = plan.folder, plan.nodes - 1
    gres = f" Gres=gpu:{plan.gpus}" if plan.gpus else ""
    return f"""\
ClusterName=dev
SlurmctldHost={CONTROLLER}({CONTROLLER_ADDRESS})
SlurmctldPort={CONTROLLER_PORT}
SlurmUser={plan.user}
SlurmdUser={plan.user}

# A short life of credentials shortens the wait before a requeued job starts again, which is 120 s by default.
AuthType=auth/munge
AuthInfo=socket={plan.munge}/sock,cred_expire=5
CredType=cred/munge

StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log

ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none

SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
EnforcePartLimits=ALL

# Jobs of `urgent` take nodes from jobs of `main`, which begin again later.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE

# Ended jobs are remembered for an hour: the `sacct` of this cluster asks the controller for them.
MinJobAge=3600
KillWait=2
SlurmdTimeout=10
ReturnToService=2

# Nodes may have more CPUs than the machine.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=node[0-{last}] NodeAddr={NETWORK}.[{FIRST_NODE}-{FIRST_NODE + last}] Port={NODE_PORT} CPUs={plan.cpus}{gres} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=5 State=UP
PartitionName=urgent Nodes=ALL MaxTime=60 DefaultTime=5 State=UP PriorityTier=2
"""


def _gres_conf(plan: ClusterPlan) -> str:
    """Return gres.conf. Slurm needs a device file for each GPU, but only to number them, so terminals will do."""
    return f"Name=gpu File=/dev/tty[0-{plan.gpus - 1}]\n" if plan.gpus else ""


def _hosts(plan: ClusterPlan) -> str:
    nodes = [f"{plan.address(number)} {name}" for number, name in enumerate(plan.node_names)]
    return "\n".join(["127.0.0.1 localhost", f"{CONTROLLER_ADDRESS} {CONTROLLER}", *nodes]) + "\n"
