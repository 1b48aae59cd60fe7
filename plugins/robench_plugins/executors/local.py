"""The executor that runs each victim in a separate process on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pydantic import Field

from robench.api import BaseConfig, Emit, Executor, Task, Work
from robench_plugins.executors.isolation.launch import Launcher


class Local(Executor):
    """Runs every task in a separate process, with the threads of the suite. This process never fits a model.

    A process ends with its task, and everything that it has started ends with it. A process that dies loses only its
    own task, which is reported as ``lost``.
    """

    class Config(BaseConfig):
        """Settings of the local executor."""

        workers: int | None = Field(
            default=None, ge=1, description="Processes; if `null`, as many as the cores that this process may use"
        )

    config: Config

    def run(self, tasks: Sequence[Task], work: Work, emit: Emit) -> None:
        """Starts the tasks in order, as many at a time as there are workers, and passes on their events."""
        threads = max((int(task.payload.get("threads", 1)) for task in tasks), default=1)
        with Launcher(work, threads) as launcher:
            launcher.run(tasks, self.config.workers or cores(), emit)


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
