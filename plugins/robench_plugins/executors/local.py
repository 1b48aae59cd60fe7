"""The executor that runs each victim in a separate process on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from robench.api import BaseConfig, Emit, Executor, Task, Work
from robench_plugins.executors.devices import places
from robench_plugins.executors.isolation.launch import Launcher


class Local(Executor):
    """Runs every task in a separate process, with the suite's number of threads.

    The executor's own process never fits a model. A process ends with its task, together with all its descendants. If a
    process dies, only its own task is reported as ``lost``.

    If the suite uses GPUs, each worker sees one of them. Several workers may share a GPU (see
    ``executors/devices.py``).
    """

    class Config(BaseConfig):
        """Settings of the local executor."""

        workers: int | None = Field(
            default=None,
            ge=1,
            description="Processes; `null` means one per available core, or as many as fit on the GPUs",
        )

    config: Config

    def run(self, tasks: Sequence[Task], work: Work, emit: Emit) -> None:
        """Starts the tasks in order and passes on their events.

        As many tasks run at a time as there are workers.
        """
        device = next((str(task.payload.get("device", "cpu")) for task in tasks), "cpu")
        threads = max((int(task.payload.get("threads", 1)) for task in tasks), default=1)
        with Launcher(work, threads) as launcher:
            launcher.run_at(places(device, self.config.workers, len(tasks)), tasks, emit)
