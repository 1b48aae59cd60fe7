"""The executor that runs victims on a dask cluster, on this machine or elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydantic import Field

from robench.api import BaseConfig, Emit, Executor, Task, Work
from robench.api.errors import UserError
from robench_plugins.executors.devices import places

if TYPE_CHECKING:
    from distributed import Client


class Dask(Executor):
    """Runs every task in a subprocess of a dask worker.

    Without the address of a scheduler, the executor starts a cluster on this machine. If a worker is lost, another
    worker measures the cells that have not arrived. The workers need no shared folder with this machine. They receive
    prepared data, and store data and checkpoints in their own caches. On this machine, workers share the GPUs in the
    same way as with the executor ``local``.
    """

    class Config(BaseConfig):
        """Settings of the dask executor."""

        workers: int | None = Field(
            default=None,
            ge=1,
            description="Workers of a cluster on this machine; `null` means one per available core, or as many as "
            "fit on the GPUs",
        )
        scheduler: str | None = Field(
            default=None, description="Address of a running scheduler to join, such as `tcp://host:8786`"
        )

    config: Config

    def __enter__(self) -> Self:
        """Joins the cluster of the scheduler that the settings name, if any.

        Raises:
            UserError: if dask is missing, if the cluster cannot be used, or if the settings name both a scheduler and
                a number of workers.
        """
        if find_spec("distributed") is None:
            hint = "pip install 'robench[dask]'"
            raise UserError("the library distributed is not installed", path="--executor dask", hint=hint)
        self._stack = ExitStack()
        self._client: Client | None = None
        if self.config.scheduler is not None:
            if self.config.workers is not None:
                raise UserError("a running cluster has its own workers: leave this out", path="--workers")
            from robench_plugins.executors.cluster.start import joined_cluster  # noqa: PLC0415  # an extra

            self._client = self._stack.enter_context(joined_cluster(self.config.scheduler))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the cluster, or ends it if this executor has started it."""
        self._client = None
        self._stack.close()

    @property
    def elsewhere(self) -> bool:
        """True if the workers may run on other machines."""
        return self.config.scheduler is not None

    def run(self, tasks: Sequence[Task], work: Work, emit: Emit) -> None:
        """Submits the tasks in order and passes on their events."""
        if tasks:
            from robench_plugins.executors.cluster.dispatch import Dispatch  # noqa: PLC0415  # an extra

            if self._client is None:
                self._client = self._start(tasks)
            Dispatch(self._client, work, emit).run(tasks)

    def _start(self, tasks: Sequence[Task]) -> Client:
        """Starts a cluster on this machine for this call of ``run`` and all later ones."""
        from robench_plugins.executors.cluster.start import local_cluster  # noqa: PLC0415  # an extra

        threads = max(int(task.payload.get("threads", 1)) for task in tasks)
        device = str(tasks[0].payload.get("device", "cpu"))
        found = places(device, self.config.workers, len(tasks))
        return self._stack.enter_context(local_cluster(found, threads))
