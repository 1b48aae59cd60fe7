"""Runs commands in processes that are forked after torch has been imported.

Forking saves seconds per call. ``robench`` calls the same ``robench.cli.main`` as a user does, with four differences.
The fork server of the workers is forked too, instead of being started afresh. On the report page, a digest of the
content replaces each picture, because drawing dominates the time of a small run. The decoder is hidden from the host's
filter of titles (``wordless.py``). Settings that Python reads at its start, such as PYTHONUTF8, have no effect.
``real`` has none of these differences.

Tests call ``robench`` through the fixture of that name in ``conftest.py``.
"""

import gc
import hashlib
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

FORKS = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT = multiprocessing.get_context("forkserver" if FORKS else "spawn")
PRELOADED = (
    "hypothesis",
    "robench.authoring.package",
    "robench.cli",
    "robench.engine.measure",
    "robench.engine.surfaces.history",
    "robench.engine.surfaces.text",
    "robench.entrance.frames",
    "robench.entrance.pack",
    "robench.entrance.plugins",
    "robench.entrance.suite",
    "robench.report.page",
    "robench.report.record",
    "robench.report.terminal",
    "robench.run.external",
    "robench.run.preview",
    "robench.run.runner",
    "robench.run.worker",
    "robench.submission.review",
    "robench.tables.build",
    "robench.testing.conformance",
    "robench.testing.embedding",
    "robench.testing.models",
    "robench.verify.folder",
    "robench_plugins.datasets.synthetic",
    "robench_plugins.executors.local",
    "robench_plugins.metrics.ranking",
    "robench_plugins.metrics.stability",
    "robench_plugins.metrics.targets",
    "robench_plugins.registration",
    "scipy.stats",
    "sklearn.linear_model",
    "sympy",
    "tabulate",
    "torch._dynamo",  # the first step of an optimiser imports this package, which takes a second
    "torch.fx.experimental.symbolic_shapes",
)
if FORKS:
    CONTEXT.set_forkserver_preload([*PRELOADED, "warm_fork_server"])


def robench(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``robench ARGUMENTS`` in a forked process.

    Args:
        folder: The working folder of the command.
        *arguments: The command's arguments.
        **environment: Variables in addition to the environment of this process.

    Returns:
        The exit code and the output, as ``subprocess.run`` returns them.
    """
    return _forked("robench", folder, arguments, environment)


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[BaseProcess]:
    """Yields the forked process of ``robench ARGUMENTS``, which may still run.

    The process is killed at the end of the block. The output is dropped.

    Args:
        folder: The working folder of the command.
        *arguments: The command's arguments.
        **environment: Variables in addition to the environment of this process.
    """
    with tempfile.TemporaryDirectory() as place:
        process = _start("robench", folder, arguments, environment, [Path(place, "stdout"), Path(place, "stderr")])
        try:
            yield process
        finally:
            process.kill()
            process.join()


def conformance(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``pytest ARGUMENTS`` in a forked process.

    The author of a plugin would run the same command in ``folder``.
    """
    return _forked("pytest", folder, (*arguments, "-p", "no:cacheprovider"), {"PYTHONPATH": ".", **environment})


def real(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m robench ARGUMENTS``, as a user does.

    The ``PYTHONPATH`` of this process follows that of the test. Otherwise an installed checkout could run instead of
    this one.
    """
    paths = [env["PYTHONPATH"] for env in (environment, os.environ) if env.get("PYTHONPATH")]
    environment |= {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
    return subprocess.run(
        [sys.executable, "-m", "robench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def _forked(
    command: str, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as place:
        outputs = [Path(place, name) for name in ("stdout", "stderr")]
        for path in outputs:
            path.touch()
        process = _start(command, folder, arguments, environment, outputs)
        process.join()
        code = process.exitcode
        process.close()
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in outputs)
    return subprocess.CompletedProcess([command, *arguments], code, out, err)


def _start(
    command: str, folder: Path, arguments: tuple[str, ...], environment: dict[str, str], outputs: list[Path]
) -> BaseProcess:
    env = {**os.environ, "COLUMNS": "200", **environment}
    # The path of this file identifies the function, because the fork may import another package named tests.
    call = {"call": (command, folder, arguments, env, *outputs)}
    start_server()
    process = CONTEXT.Process(target=runpy.run_path, args=(__file__, call, "forked"))
    process.start()
    return process


@cache
def start_server() -> None:
    """Starts the fork server, which imports ``warm_fork_server.py``.

    The folder of this module is on the path of the server, but not on that of its forks.
    """
    if FORKS:
        from multiprocessing.forkserver import ensure_running  # noqa: PLC0415  # other systems lack the module

        place = str(Path(__file__).parent)
        with pytest.MonkeyPatch.context() as patch:
            # Depending on its version, Python gives the server the environment or the path of this process.
            patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), place])))
            patch.setattr(sys, "path", [*sys.path, place])
            ensure_running()


def _main(command: str, folder: Path, arguments: tuple[str, ...], env: dict[str, str], out: Path, err: Path) -> None:
    gc.freeze()  # the collector would visit, and thereby copy, all objects of the imported modules
    encoding = env.get("PYTHONIOENCODING", "utf-8")
    for number, path in ((1, out), (2, err)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115  # open as long as the process runs
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.path[:0] = [os.path.abspath(part) for part in env.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.argv = [command, *arguments]
    if command == "pytest":
        sys.exit(pytest.main(list(arguments)))
    _robench()


def _robench() -> None:
    from robench.cli import main  # noqa: PLC0415  # imported in the fork
    from robench_plugins.executors.isolation.launch import Launcher  # noqa: PLC0415

    replace_pictures(pytest.MonkeyPatch())
    runpy.run_path(str(Path(__file__).with_name("wordless.py")))  # an installed package may be called tests, too
    if FORKS:
        Launcher.context = multiprocessing.get_context("fork")
    main()


def replace_pictures(patch: pytest.MonkeyPatch) -> None:
    """Lets a page have digests instead of pictures, whose charts nobody validates.

    Drawing starts a process, which takes half a second. Validation takes most of the time of a chart. In a run, a chart
    that is not valid is only a sentence of the page, so the tests of charts are those that see it.
    """
    # The name is that of the module which draws the page. A name that does not exist is an error.
    patch.setattr("robench.report.page.pictures.draw_pictures", lambda charts: [_picture(chart) for chart in charts])
    patch.setattr("altair.utils.schemapi.DEBUG_MODE", False)
    patch.setattr("altair.utils.schemapi.SchemaBase.validate", lambda *_, **__: None)


def _picture(chart: dict[str, Any]) -> str:
    return f"<svg><desc>{hashlib.sha256(json.dumps(chart, sort_keys=True).encode()).hexdigest()}</desc></svg>"


if __name__ == "forked":
    _main(*globals()["call"])
