"""`python -m slurm.dev_cluster`: a real Slurm on this machine."""

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from course_env.errors import CourseError
from slurm.dev_cluster.cluster import DevCluster, default_folder, environment, node_states, shape

EXAMPLES = """\
examples:
  python -m slurm.dev_cluster up                     2 nodes with 8 CPUs and 4 GPUs each, as Slurm believes
  python -m slurm.dev_cluster run                    a shell in which sinfo, sbatch, srun and salloc work
  python -m slurm.dev_cluster run srun -N2 hostname
  python -m slurm.dev_cluster down                   ends the cluster, its jobs and nothing else
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.body(options, DevCluster(options.folder)))
    except CourseError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m slurm.dev_cluster",
        description="A real Slurm of several nodes on this machine, without root and without systemd.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=default_folder(), help="its files (default: %(default)s)")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    up = commands.add_parser("up", help="start it, or those of its daemons that are gone")
    up.add_argument("--nodes", type=int, default=2, metavar="N", help="(default: 2)")
    up.add_argument("--cpus", type=int, default=8, metavar="N", help="of each node (default: 8)")
    up.add_argument("--gpus", type=int, default=4, metavar="N", help="of each node (default: 4)")
    up.set_defaults(body=_up)
    commands.add_parser("status", help="say whether it runs, and the state of its nodes").set_defaults(body=_status)
    run = commands.add_parser("run", help="run a command, or a shell, in it")
    run.add_argument("command", nargs="...", metavar="COMMAND ...")
    run.set_defaults(body=_run)
    commands.add_parser("down", help="end it").set_defaults(body=_down)
    return parser


def _up(options: Namespace, cluster: DevCluster) -> int:
    state = cluster.up(nodes=options.nodes, cpus=options.cpus, gpus=options.gpus)
    print(f"{shape(state.plan)}. Files: {cluster.folder}\nA shell in it: python -m slurm.dev_cluster run")
    return 0


def _status(_options: Namespace, cluster: DevCluster) -> int:
    state = cluster.state
    if state is None:
        print(f"No cluster runs in {cluster.folder}.")
        return 1
    print(f"{shape(state.plan)}. Files: {cluster.folder}")
    for node, node_state in node_states(cluster).items():
        print(f"{node}: {node_state}")
    return 0


def _run(options: Namespace, cluster: DevCluster) -> int:
    command = [word for index, word in enumerate(options.command) if (index, word) != (0, "--")]
    entered = cluster.enter(command or [os.environ.get("SHELL", "/bin/sh")])
    sys.stdout.flush()
    os.execvpe(entered[0], entered, environment(cluster.folder))  # noqa: S606 - the command is the user's own


def _down(_options: Namespace, cluster: DevCluster) -> int:
    print("The cluster has ended." if cluster.down() else f"No cluster runs in {cluster.folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
