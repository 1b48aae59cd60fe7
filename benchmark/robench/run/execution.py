"""Makes the executor that the options of a command select."""

from __future__ import annotations

from robench.api.errors import UserError
from robench.api.executor import Executor
from robench.host.registry import Registry


def make_executor(registry: Registry, name: str, workers: int | None, scheduler: str | None) -> Executor:
    """Returns an executor with the given settings.

    Args:
        registry: the plugins.
        name: the name of the executor.
        workers: the number of workers, or None for the executor's own choice.
        scheduler: the address of a scheduler, or None.

    Raises:
        UserError: if the executor is unknown, lacks a given setting, or would have fewer than one worker.
    """
    cls: type[Executor] = registry.class_of("executor", name)
    given = {"workers": workers, "scheduler": scheduler}
    settings = {key: value for key, value in given.items() if value is not None}
    for key in settings:
        if not cls.has_setting(key):
            hint = "--executor dask joins the cluster of a scheduler" if key == "scheduler" else ""
            raise UserError(f"executor '{name}' has no setting {key}", path=f"--{key}", hint=hint)
    if workers is not None and workers < 1:
        raise UserError("at least one worker is needed", path="--workers")
    executor: Executor = cls.make(**settings)
    return executor
