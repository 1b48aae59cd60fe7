"""The command in a process of its own, forked from one that has imported torch already: seconds less per call.

It is the same ``robench.cli.main``. What Python reads at its own start, such as PYTHONUTF8, does nothing here; for that
there is ``real``.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

FORKS = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    CONTEXT.set_forkserver_preload(
        ["robench.run.runner", "robench.cli", "robench.tables.build", "robench.report.terminal"]
    )


def robench(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``robench ARGUMENTS`` in ``folder``: exit code and what it said."""
    with tempfile.TemporaryDirectory() as place:
        told = [Path(place, name) for name in ("stdout", "stderr")]
        for path in told:
            path.touch()
        env = {**os.environ, "COLUMNS": "200", **environment}
        # By its path: in the other process another package may be called tests.
        call = {"call": (folder, arguments, env, *told)}
        process = CONTEXT.Process(target=runpy.run_path, args=(__file__, call, "forked"))
        process.start()
        process.join()
        code = process.exitcode
        process.close()
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in told)
    return subprocess.CompletedProcess(["robench", *arguments], code, out, err)


def real(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same by ``python -m robench``."""
    return subprocess.run(
        [sys.executable, "-m", "robench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def _main(folder: Path, arguments: tuple[str, ...], env: dict[str, str], out: Path, err: Path) -> None:
    encoding = env.get("PYTHONIOENCODING", "utf-8")
    for number, path in ((1, out), (2, err)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115  # as long as the process
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.path[:0] = [os.path.abspath(part) for part in env.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.argv = ["robench", *arguments]
    from robench.cli import main  # noqa: PLC0415  # in the fork

    main()


if __name__ == "forked":
    _main(*globals()["call"])
