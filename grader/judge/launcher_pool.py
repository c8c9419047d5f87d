"""The launchers of one judge: one for each set of modules that its chapters have a zygote preload."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

import pytest

from grader.harness.agents.roster import read_crew, read_key
from grader.harness.agents.team import Team
from grader.harness.launch.launcher import Launcher
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from grader.harness.trials.gpus import Launchers
from grader.judge.needs import preload


class LauncherPool:
    """Starts launchers when a chapter first needs them, and ends them all together."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._on_cpu: dict[tuple[str, ...], Launcher] = {}
        self._launchers: dict[tuple[str, ...], Launchers] = {}

    def on_cpu(self, needs: Collection[str]) -> Launcher:
        """Return the launcher without GPUs for a chapter with these needs.

        Raises: LaunchError if it cannot be started.
        """
        modules = preload(needs)
        if modules not in self._on_cpu:
            self._on_cpu[modules] = self._start(modules)
        return self._on_cpu[modules]

    def launchers(self, needs: Collection[str]) -> Launchers:
        """Return the launchers with and without GPUs for a chapter with these needs.

        Raises: LaunchError if the one without cannot be started.
        """
        modules = preload(needs)
        if modules not in self._launchers:
            self._launchers[modules] = Launchers(self.on_cpu(needs), partial(self._start, modules, gpus=True))
        return self._launchers[modules]

    def close(self) -> None:
        """End every launcher that was started."""
        for launchers in self._launchers.values():
            launchers.close()
        for launcher in self._on_cpu.values():
            launcher.close()

    def _start(self, modules: tuple[str, ...], *, gpus: bool = False) -> Launcher:
        lent: Launcher | None = self._config.hook.pytest_start_launcher(preload=modules, gpus=gpus)
        if lent is not None:
            return lent
        wall = Wall(self._config.option.wall)
        if self._config.option.agents is None:
            return ZygoteHandle(wall=wall, preload=modules, gpus=gpus)
        folder = Path(self._config.option.agents)
        return Team(read_crew(folder), read_key(folder), wall=wall, preload=modules, gpus=gpus)
