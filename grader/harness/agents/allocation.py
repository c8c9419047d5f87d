"""What every task of an allocation does: it runs an agent, and task 0 also leads."""

import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from course_env.devices import visible_gpus
from course_env.errors import LaunchError
from grader.harness.agents import dialogue
from grader.harness.agents.agent import Agent
from grader.harness.agents.channel import Channel, ChannelError, Party
from grader.harness.agents.network import network_towards
from grader.harness.agents.roster import Member, enter, wait_for_key, wait_for_members, write_crew

TASKS_START_S = 120.0
CONNECT_S = 10.0


class Seat(Protocol):
    """Which task of a job this is, and on which machine."""

    @property
    def rank(self) -> int:
        """The number of the task, from 0."""

    @property
    def num_tasks(self) -> int:
        """How many tasks the job has."""

    @property
    def run(self) -> int:
        """How often the job was requeued before."""

    @property
    def node(self) -> str:
        """The name of the machine."""

    @property
    def first_node(self) -> str:
        """An address or the name of the machine where the job began, by which all machines of the job reach each other."""


def be_agent(folder: Path, seat: Seat, lead: Callable[[], None]) -> None:
    """Run an agent that the other tasks find in `folder`. Task 0 calls `lead`; all agents keep running until it returns.

    Raises: LaunchError if the tasks do not find each other.
    """
    secret = wait_for_key(folder, TASKS_START_S)
    network = network_towards(seat.first_node)
    agent = Agent(secret, network)
    try:
        member = Member(task=seat.rank, node=seat.node, host=network.address, port=agent.port, gpus=visible_gpus())
        enter(folder, seat.run, member)
        if seat.rank != 0:
            agent.wait()
            return
        members = wait_for_members(folder, seat.run, seat.num_tasks, TASKS_START_S)
        with _held(members, secret):
            write_crew(folder, members)
            lead()
    finally:
        agent.close()


def _held(members: Sequence[Member], secret: bytes) -> contextlib.ExitStack:
    """Keep all agents running as long as the returned stack is open."""
    with contextlib.ExitStack() as holding:
        for member in members:
            try:
                connection = socket.create_connection((member.host, member.port), timeout=CONNECT_S)
                channel = holding.enter_context(Channel(connection, secret, Party.JUDGE))
                dialogue.send(channel, dialogue.Hold())
                dialogue.receive_from_agent(channel)
            except (OSError, ChannelError) as error:
                raise LaunchError(
                    f"The agent of task {member.task}, on {member.node}, cannot be reached at {member.host}:{member.port}: "
                    f"{error}. The nodes of a job must reach each other over that network."
                ) from None
        return holding.pop_all()
