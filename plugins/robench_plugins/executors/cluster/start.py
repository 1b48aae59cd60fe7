"""Starts a cluster on this machine, or joins one."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, Security, SpecCluster
from distributed.core import rpc
from distributed.utils import silence_logging_cmgr
from distributed.versions import VersionMismatchWarning

from robench.api.errors import UserError
from robench_plugins.executors.cluster.dispatch import RESOURCE
from robench_plugins.executors.cluster.versions import collect_versions, find_difference
from robench_plugins.executors.devices import Place
from robench_plugins.executors.isolation.launch import (
    ALLOCATOR,
    THREAD_VARIABLES,
    environment,
    interrupts_blocked,
    trusted_path,
    without_main,
)

TIMEOUT = 5  # the most seconds for the connection to a scheduler
HOST = "127.0.0.1"
PATH = "--scheduler"
LONGEST = 200  # the most characters of a foreign error
SETTINGS = {
    "distributed.scheduler.allowed-failures": 10,  # the most workers that a task may lose; a victim cannot end a worker
    "distributed.scheduler.worker-ttl": "15 minutes",  # only a busy machine can block the event loop; a fit cannot
}
SILENT = logging.CRITICAL + 1  # This hides dask's own log. The executor reports everything that concerns a user.


def hide_abandoned_tasks(record: logging.LogRecord) -> bool:
    """Returns False for records about abandoned tasks of dask, otherwise True.

    When the scheduler ends, for example after Ctrl-C, dask abandons its open requests. Asyncio may report each of these
    requests with a traceback, at any later time.
    """
    message = record.getMessage()
    return not ("exception was never retrieved" in message and f"{os.sep}distributed{os.sep}" in message)


@contextmanager
def local_cluster(places: Sequence[Place], threads: int) -> Iterator[Client]:
    """Yields a client of a new cluster on this machine, and then ends the cluster.

    Args:
        places: the place of every worker. A worker measures one victim at a time.
        threads: the threads of the numerical libraries.
    """
    scheduler = {
        "cls": Scheduler,
        "options": {"host": HOST, "port": 0, "dashboard": False, "dashboard_address": f"{HOST}:0"},
    }
    spec = {number: {"cls": Nanny, "options": _options(place)} for number, place in enumerate(places)}
    logging.getLogger("asyncio").addFilter(hide_abandoned_tasks)  # a second call adds nothing
    with ExitStack() as stack:
        stack.enter_context(_environment_kept())
        stack.enter_context(without_main())  # dask may restart a worker until the end of the block
        with environment(threads), trusted_path(), interrupts_blocked():
            stack.enter_context(dask.config.set(SETTINGS | {"distributed.nanny.pre-spawn-environ": _environment()}))
            cluster = stack.enter_context(SpecCluster(scheduler=scheduler, workers=spec, silence_logs=SILENT))
            client = stack.enter_context(Client(cluster, set_as_default=False))
        yield client


@contextmanager
def joined_cluster(address: str) -> Iterator[Client]:
    """Yields a client of a running cluster.

    Raises:
        UserError: if there is no scheduler at this address, or if a version differs between this machine and the
            cluster.
    """
    logging.getLogger("asyncio").addFilter(hide_abandoned_tasks)
    with silence_logging_cmgr(SILENT), warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)  # the versions are compared below
        _check_address(address)
        with Client(address, timeout=TIMEOUT, set_as_default=False) as client:
            _check_versions(client)
            yield client


def _options(place: Place) -> dict[str, Any]:
    """Returns the options of a local worker.

    A worker with a GPU declares the GPU as a resource.
    """
    resources = {RESOURCE: 1} if "device" in place else {}
    options = {"host": HOST, "nthreads": 1, "memory_limit": 0, "silence_logs": SILENT, "resources": resources}
    return options | {"env": dict(place.get("environment", {}))}


def _environment() -> dict[str, str]:
    """Returns the environment variables of a local worker.

    All workers of robench get the same variables, which replace those that dask would choose.
    """
    return {name: os.environ[name] for name in (*THREAD_VARIABLES, *ALLOCATOR, "PYTHONSAFEPATH")}


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Restores the environment variables after the block, because dask sets some."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _ask_kind(address: str) -> str:
    """Returns the kind of server at an address.

    The function waits only for a while. A dask client would wait forever for a silent server.
    """
    server = rpc(address, timeout=TIMEOUT, connection_args=Security().get_connection_args("client"))
    try:
        return str((await asyncio.wait_for(server.identity(), 1.5 * TIMEOUT))["type"])
    finally:
        await server.close_rpc()


def _check_address(address: str) -> None:
    """Checks that there is a scheduler at an address.

    Raises:
        UserError: if there is no scheduler.
    """
    hint = "tcp://host:port of a running dask scheduler"
    try:
        kind = asyncio.run(_ask_kind(address))
    except Exception as error:  # another kind of server may cause any exception
        raise UserError(f"no dask scheduler answers at {address}: {_line(error)}", path=PATH, hint=hint) from None
    if kind != "Scheduler":
        raise UserError(f"there is a {kind} at {address}, not a scheduler", path=PATH, hint=hint)


def _check_versions(client: Client) -> None:
    """Checks that the scheduler and the workers have the versions of this machine.

    Raises:
        UserError: if a version differs, or if the scheduler or a worker cannot import robench.
    """
    there: dict[str, Any] = {}
    try:
        there["the scheduler"] = client.run_on_scheduler(collect_versions)
    except Exception as error:  # the import of another version of robench may raise any exception there
        there["the scheduler"] = error
    there |= {f"worker {name}": found for name, found in client.run(collect_versions, on_error="return").items()}
    for name, found in there.items():
        if isinstance(found, BaseException):
            problem = f"it cannot use robench: {_line(found)}"
        else:
            problem = find_difference(collect_versions(), found)
        if problem:
            hint = "install the same versions on every machine of the cluster"
            raise UserError(f"{name} cannot be used: {problem}", path=PATH, hint=hint)


def _line(error: BaseException) -> str:
    text = str(error) or "no answer in time"
    return " ".join(f"{type(error).__name__}: {text}".split())[:LONGEST]
