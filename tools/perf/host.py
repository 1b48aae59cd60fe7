"""Measures the CPU seconds and the peak memory of the host itself.

    python tools/perf/host.py [--cells 1000 5000 10000] [--folder DIR]

The suites have many cells that cost next to nothing. The script is also the plugin that offers the model and the attack
of the suites. For every size the script writes a suite, and ``robench run`` measures and stores the cells. A victim has
20 cells: the clean one, and two attacks at 10 and 9 budgets. Five victims, one per seed, form a row of a table. Then
each command runs in a separate process: ``run`` with nothing left to do, ``plan`` and ``leaderboard``.

The last column is the size of index.html. A second line per size has the cost per cell relative to the first size, so
a linear command shows about 1. Another line shows what storing a cell costs in the first run: the CPU time and the
waiting time. With ``--folder`` the suites are kept, and measured suites are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from compileall import compile_dir
from functools import wraps
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import (
    BaseConfig,
    HistoryAttack,
    HistoryOracle,
    IntArray,
    Interactions,
    Model,
    Rng,
    Surface,
    TrainData,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import Tensor

USERS, ITEMS = 50, 40
CELLS_OF_ROW = 100  # five seeds of a victim with 20 cells
COMMANDS = ("run", "plan", "leaderboard")
SUITE = """\
name: host-{cells}
seeds: [0, 1, 2, 3, 4]
datasets:
  - {{name: synthetic, users: {users}, items: {items}, interactions_per_user: 5}}
models:
  - {{name: idle-model, grid: {{variant: [{variants}]}}}}
attacks:
  - {{name: idle-attack, label: one, epsilon: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}
  - {{name: idle-attack, label: two, k: 5, epsilon: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}
"""


class IdleModel(Model):
    """A model with random scores that are drawn once.

    The score of an item is the sum of two random numbers. One number belongs to the item and the user, and the other
    belongs to the item and the last item of the history.
    """

    class Config(BaseConfig):
        """The settings of the model."""

        variant: int = Field(default=0, description="Number that tells the victims of a suite apart")

    config: Config
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"history"})
    table: NDArray[np.float32]

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Draws the random numbers of all users and items."""
        draw = rng.child("variant", self.config.variant).numpy()
        self.table = draw.random((data.train.n_users + data.train.n_items, data.train.n_items), dtype=np.float32)

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of the given users: float32 [B, n_items]."""
        last = history.items[np.maximum(history.indptr[users + 1] - 1, 0)]
        return self.table[users] + self.table[last - self.table.shape[1]]

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the random numbers, float32 [users + n_items, n_items]."""
        return {"table": self.table}

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Restores the random numbers."""
        self.table = np.asarray(state["table"], dtype=np.float32)


class IdleAttack(HistoryAttack):
    """An attack that replaces the last item of every history with a random item."""

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """Yields the histories with another last item: int64 [B, L]."""
        rows = oracle.rows().clone()
        draws = oracle.uniform(rng.child("budget", int(oracle.budget().max())), oracle.n_items)
        last = (rows >= 0).sum(1, keepdim=True) - 1
        yield rows.scatter(1, last, (draws * oracle.insertable()).argmax(1, keepdim=True))


@hookimpl
def robench_models() -> dict[str, type[Model]]:
    """Returns the idle model by its name."""
    return {"idle-model": IdleModel}


@hookimpl
def robench_attacks() -> dict[str, type[HistoryAttack]]:
    """Returns the idle attack by its name."""
    return {"idle-attack": IdleAttack}


def robench(command: str, suite: Path, folder: Path) -> dict[str, float]:
    """Runs a command of robench in its own process, and returns the cost.

    The cost includes that of the workers. The modules are compiled beforehand, as in an installation.

    Returns:
        ``cpu`` and ``wall`` in seconds, and ``memory`` of the largest process in MiB. A ``run`` that stores cells adds
        the entries of ``Storing.per_cell``.
    """
    results = folder / "results" / suite.stem
    arguments = [str(results)] if command == "leaderboard" else [str(suite), "--results", str(results)]
    measured = [sys.executable, __file__, "--measure", command, *arguments]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    places = {"PYTHONPATH": paths, "ROBENCH_PLUGINS": Path(__file__).stem, "ROBENCH_CACHE": str(folder / "cache")}
    done = subprocess.run(measured, env={**os.environ, **places}, check=True, capture_output=True, text=True)
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return cost


def measure(arguments: list[str]) -> None:
    """Runs the command line in this process, and prints the cost as the last line."""
    from robench.cli import main as command_line  # noqa: PLC0415  # a part of what is measured

    start, storing = time.perf_counter(), Storing()
    if arguments[0] == "run":
        storing.watch()
    sys.argv = ["robench", *arguments]
    try:
        command_line()
    except SystemExit as end:
        if end.code:
            raise
    own, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in (own, workers))
    memory = max(own.ru_maxrss, workers.ru_maxrss) / 1024
    print(json.dumps({"cpu": cpu, "wall": time.perf_counter() - start, "memory": memory, **storing.per_cell()}))


class Storing:
    """The cost of storing cells.

    The cost is the CPU seconds in all threads, and the seconds that the run waits.
    """

    def __init__(self) -> None:
        self.cells, self.cpu, self.waiting = 0, 0.0, 0.0

    def watch(self) -> None:
        """Replaces the functions that store cells with timed functions."""
        from robench.files import background  # noqa: PLC0415  # imported at the same time as in a run
        from robench.store.folder import Store  # noqa: PLC0415  # as above

        def timed(holder: Any, name: str, cells: int, *, waits: bool) -> None:
            function = getattr(holder, name)

            @wraps(function)
            def measured(*args: Any, **options: Any) -> Any:
                cpu, wall = time.thread_time(), time.perf_counter()
                try:
                    return function(*args, **options)
                finally:
                    cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
                    self.cells, self.cpu = self.cells + cells, self.cpu + cpu
                    self.waiting += wall - cpu if waits else 0.0

            setattr(holder, name, measured)

        timed(Store, "write", 1, waits=True)
        timed(background.BackgroundWriter, "close", 0, waits=True)
        timed(background, "write_batch", 0, waits=False)

    def per_cell(self) -> dict[str, float]:
        """Returns the number of stored cells and the milliseconds per cell.

        The mapping is empty if no cell was stored.
        """
        if not self.cells:
            return {}
        return {"stored": self.cells, "ms": 1000 * self.cpu / self.cells, "wait": 1000 * self.waiting / self.cells}


def write_suite(cells: int, folder: Path) -> Path:
    """Writes a suite with this number of cells, and returns its path."""
    variants = ", ".join(map(str, range(cells // CELLS_OF_ROW)))
    path = folder / f"host-{cells}.yaml"
    path.write_text(SUITE.format(cells=cells, users=USERS, items=ITEMS, variants=variants), encoding="utf-8")
    return path


def measure_size(cells: int, folder: Path) -> dict[str, Any]:
    """Returns the cost of each command on a finished suite of this size.

    The entry ``page`` is the size of index.html in bytes.
    """
    suite = write_suite(cells, folder)
    results = folder / "results" / suite.stem
    if not (results / "index.html").exists():
        first = robench("run", suite, folder)
        cost = f"{first['ms']:.2f} ms of CPU, {first['wait']:.2f} ms of waiting"
        print(f"{cells} cells measured in {first['wall']:.0f} s; storing one: {cost}", flush=True)
    costs = {command: robench(command, suite, folder) for command in COMMANDS}
    return {**costs, "page": (results / "index.html").stat().st_size}


def main() -> None:
    """Measures the sizes that the command line names, and prints the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 5_000, 10_000])
    parser.add_argument("--folder", type=Path, help="where the suites are kept [default: a temporary folder]")
    parser.add_argument("--measure", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure)
        return
    for package in ("robench", "robench_plugins"):
        compile_dir(str(resources.files(package)), quiet=1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        print_table(given.cells, folder)


def print_table(sizes: list[int], folder: Path) -> None:
    """Measures every size and prints the costs.

    The costs per cell are shown as ratios to the first size.
    """
    head = [f"{command} {unit}" for command in COMMANDS for unit in ("s", "MiB")]
    print(" ".join(f"{name:>15}" for name in ("cells", *head, "page MB")))
    first: list[float] = []
    for cells in sizes:
        costs = measure_size(cells, folder)
        numbers = [costs[command][unit] for command in COMMANDS for unit in ("cpu", "memory")]
        numbers.append(costs["page"] / 1e6)
        first = first or [number / cells for number in numbers]
        ratios = [number / cells / base for number, base in zip(numbers, first, strict=True)]
        print(" ".join([f"{cells:15}", *(f"{number:15.2f}" for number in numbers)]))
        print(" ".join([f"{'per cell':>15}", *(f"{ratio:15.2f}" for ratio in ratios)]), flush=True)


if __name__ == "__main__":
    main()
