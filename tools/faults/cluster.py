"""Runs a suite on a dask cluster and disturbs the run.

    python tools/faults/cluster.py [--suite suites/smoke.yaml] [--set seeds=[0]] [--workers 2] [CASE ...]

There are five cases:

- ``local``: an undisturbed local cluster.
- ``joined``: a joined cluster with a separate cache per worker.
- ``worker``: a dask worker is killed in the middle of the run.
- ``client``: the client is killed and started again, with its own cluster and with a joined cluster.
- ``wrong``: wrong addresses. Each run must end with one line and exit code 2.

In the other cases, the tables are compared with those of the executor ``local``, and no process may be left after a
run. After a kill, no finished cell may be measured again. The script prints its counts, and exits with 1 if any check
failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from kills import MARK, ROOT, stored, tables
from processes import end_all, started_by

PATIENCE = 10.0  # seconds after which no process may be left
CASES = ("local", "joined", "worker", "client", "wrong")
SOURCES = os.pathsep.join(str(ROOT / part) for part in ("benchmark", "plugins"))


class Cases:
    """The runs of one suite, and the checks that failed."""

    def __init__(self, place: Path, suite: Path, overrides: list[str], workers: int) -> None:
        self.place, self.workers = place, workers
        self.command = [sys.executable, "-m", "robench", "run", str(suite.resolve())]
        self.command += [text for override in overrides for text in ("--set", override)]
        self.problems: list[str] = []
        self.expected: dict[str, bytes] = {}

    def add(self, problem: str) -> None:
        """Records a failed check, and prints it."""
        print(f"problem: {problem}", flush=True)
        self.problems.append(problem)

    def start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """Starts a run in the folder ``name``, and returns the process.

        If the folder holds an earlier run, that run is continued.
        """
        folder = self.place / name
        folder.mkdir(exist_ok=True)
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*self.command, "--results", str(folder / "results"), *options],
                cwd=folder,
                env=environment(folder / "cache", self.place / name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def on_dask(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """Starts a run on a dask cluster, and returns the process.

        Without options, the run starts its own cluster.
        """
        return self.start(name, "--executor", "dask", *(options or ("--workers", str(self.workers))))

    def end(self, name: str, process: subprocess.Popen[bytes], start: float) -> None:
        """Waits until a run ends, and checks the exit code, the tables and the processes.

        ``start`` is the monotonic time at which the run started.
        """
        code = process.wait()
        found = tables(self.place / name)
        if code:
            self.add(f"{name}: exit code {code}: {self.log(name)[-2000:]}")
        if changed := [table for table in self.expected if found.get(table) != self.expected[table]]:
            self.add(f"{name}: {', '.join(changed)} differ")
        self.check_processes(name)
        print(f"{name}: {len(stored(self.place / name))} cells, {time.monotonic() - start:.0f} s", flush=True)

    def check_processes(self, name: str) -> None:
        """Records a problem if a process of an ended run does not end in time.

        A process that is still alive ``PATIENCE`` seconds after the run is killed.
        """
        limit = time.monotonic() + PATIENCE
        while (left := started_by(MARK, str(self.place / name))) and time.monotonic() < limit:
            time.sleep(0.1)
        if left:
            self.add(f"{name}: {len(left)} processes left after {PATIENCE:g} s")
            end_all(left)
        print(f"{name}: no process left {time.monotonic() - limit + PATIENCE:.1f} s after the end", flush=True)

    def log(self, name: str) -> str:
        """Returns the output of a run."""
        return (self.place / name / "log").read_text("utf-8")

    def await_cells(self, name: str, process: subprocess.Popen[bytes], share: float) -> dict[str, str]:
        """Waits until a share of the cells is stored, or the run ends.

        Returns:
            The digests of the stored records, by the id of the cell.
        """
        goal = share * self.cells
        while len(stored(self.place / name)) < goal and process.poll() is None:
            time.sleep(0.2)
        return stored(self.place / name)

    def check_kept(self, name: str, before: dict[str, str]) -> None:
        """Records a problem if a cell was measured again.

        A record holds the duration of the measurement, so a second measurement changes the digest of the record.

        Args:
            name: the name of the run's folder.
            before: the digests of the records at an earlier time, by the id of the cell.
        """
        after = stored(self.place / name)
        if again := [cell for cell in before if after.get(cell) != before[cell]]:
            self.add(f"{name}: {len(again)} finished cells were measured again")

    def reference(self) -> None:
        """Runs the suite with the executor ``local``, and keeps the tables.

        Later runs are compared with these tables.
        """
        start, process = time.monotonic(), self.start("reference", "--workers", str(self.workers))
        self.end("reference", process, start)
        self.expected, self.cells = tables(self.place / "reference"), len(stored(self.place / "reference"))

    def local(self) -> None:
        """Runs the suite on a cluster on this machine."""
        start = time.monotonic()
        self.end("local", self.on_dask("local"), start)

    def joined(self) -> None:
        """Runs the suite on a cluster with workers that do not share the client's cache."""
        with self.cluster("joined-cluster") as address:
            start = time.monotonic()
            self.end("joined", self.on_dask("joined", "--scheduler", address), start)

    def worker(self) -> None:
        """Kills a dask worker of a local cluster in the middle of a run."""
        start, process = time.monotonic(), self.on_dask("worker")
        before = self.await_cells("worker", process, 0.3)
        victims = [pid for pid in started_by(MARK, str(self.place / "worker")) if is_dask_worker(pid, process.pid)]
        if not victims:
            self.add("worker: no dask worker was found")
        for pid in victims[:1]:
            os.kill(pid, signal.SIGKILL)
        print(f"worker: one of {len(victims)} killed after {len(before)} of {self.cells} cells", flush=True)
        self.end("worker", process, start)
        self.check_kept("worker", before)
        print("\n".join(f"worker: {line}" for line in self.log("worker").splitlines() if "was lost" in line))

    def client(self) -> None:
        """Kills the client in the middle of a run and starts the client again.

        This is tried with a client that has its own cluster, and with a client that joins a cluster.
        """
        self._client("client")
        with self.cluster("client-cluster") as address:
            self._client("client-joined", "--scheduler", address)

    def _client(self, name: str, *options: str) -> None:
        start, process = time.monotonic(), self.on_dask(name, *options)
        before = self.await_cells(name, process, 0.3)
        process.kill()
        process.wait()
        print(f"{name}: killed after {len(before)} of {self.cells} cells", flush=True)
        self.check_processes(name)
        before = stored(self.place / name)
        self.end(name, self.on_dask(name, *options), start)
        self.check_kept(name, before)

    def wrong(self) -> None:
        """Tries to join clusters at wrong addresses."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            listening = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
            for number, address in enumerate(("tcp://127.0.0.1:1", listening, "nonsense", "ftp://host:1")):
                name, start = f"wrong {number}", time.monotonic()
                code = self.on_dask(name, "--scheduler", address).wait()
                lines = self.log(name).splitlines()
                print(f"wrong: exit code {code} after {time.monotonic() - start:.1f} s: {lines[-1]}", flush=True)
                if (code, len(lines)) != (2, 1):
                    self.add(f"wrong: {address}: exit code {code}, {len(lines)} lines")

    @contextmanager
    def cluster(self, name: str) -> Iterator[str]:
        """Starts a scheduler and workers with dask's own commands.

        They are terminated at the end of the block.

        Yields:
            The address of the scheduler.
        """
        (self.place / name).mkdir()
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        dask = [sys.executable, "-m", "dask"]
        commands = [[*dask, "scheduler", "--host", address, "--no-dashboard"]]
        commands += [[*dask, "worker", address, "--nthreads", "1", "--memory-limit", "0"]] * self.workers
        with (self.place / name / "log").open("wb") as log:
            processes = [
                subprocess.Popen(
                    command,
                    cwd=self.place / name,
                    env=environment(self.place / name / f"cache {number}", self.place / name),
                    stdout=log,
                    stderr=log,
                )
                for number, command in enumerate(commands)
            ]
        try:
            yield address
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait()
            self.check_processes(name)


def environment(cache: Path, mark: Path) -> dict[str, str]:
    """Returns the environment of a process with a separate cache.

    ``started_by`` finds the process by the variable ``MARK``.
    """
    return {**os.environ, "PYTHONPATH": SOURCES, "ROBENCH_CACHE": str(cache), MARK: str(mark)}


def is_dask_worker(pid: int, client: int) -> bool:
    """Returns whether a process is a dask worker.

    A dask worker is a child of the client, and multiprocessing has spawned it.
    """
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return parent == client and b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main() -> int:
    """Runs the cases and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=CASES, metavar="CASE")
    parser.add_argument("--suite", type=Path, default=ROOT / "suites" / "smoke.yaml")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cases = Cases(Path(name), given.suite, given.set, given.workers)
        cases.reference()
        for case in given.cases:
            getattr(cases, case)()
    print(f"{len(given.cases)} cases, {len(cases.problems)} problems", *cases.problems, sep="\n")
    return 1 if cases.problems else 0


if __name__ == "__main__":
    sys.exit(main())
