"""robench: a benchmark suite for the robustness of recommender systems.

    >>> import robench
    >>> folder = robench.run("suites/smoke.yaml")
    >>> robench.load(folder).leaderboard

Importing robench imports neither torch nor pandas. If the user makes a mistake, robench raises ``robench.UserError``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench import run as _run  # noqa: F401  # before the function of this name, which would be replaced later
from robench.api.errors import UserError
from robench.api.escapes import make_inert

if TYPE_CHECKING:
    import pandas as pd

    from robench.comparison.frames import ComparisonFrames
    from robench.entrance.results import ResultFrames

__all__ = ["UserError", "__version__", "compare", "load", "plugins", "run"]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    """Returns the public names, without the modules that this file imports."""
    return sorted(__all__)


logging.getLogger(__name__).addFilter(make_inert)  # before any handler of the caller sees the message


def run(
    suite: str | Path,
    *,
    datasets: Mapping[str, pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]] | None = None,
    results: str | Path | None = None,
    workers: int | None = None,
    executor: str = "local",
    scheduler: str | None = None,
    overrides: str | Iterable[str] | Mapping[str, Any] = (),
    only: str | Iterable[str] | Mapping[str, Any] = (),
    fresh: bool = False,
    yes: bool = False,
) -> Path:
    """Runs a suite and returns the folder of its results.

    The run fits the victims, measures every cell without a valid stored result, and writes the leaderboard.

    A script that calls this function needs no ``if __name__ == "__main__"``. If a cell fails, the failure is logged,
    and the other cells are still measured.

    Args:
        suite: the suite, a YAML file.
        datasets: data sets in memory, by the name that the suite gives them. Each is a frame with the columns ``user``
            and ``item``, and optionally ``rating`` and ``time``. A pair ``(frame, items)`` adds a frame of items with
            the column ``item`` and some of ``title``, ``year``, ``genres`` and ``description``.
        results: the folder for the results. The default is ``results/<suite>``.
        workers: the number of worker processes. The default is one per core.
        executor: the executor that fits the victims.
        scheduler: the address of a dask scheduler to join, for the executor ``dask``.
        overrides: settings of the suite to change, such as ``"seeds=[0]"`` or ``{"seeds": [0]}``. The command line
            calls them ``--set``.
        only: conditions such as ``"model=mf"`` or ``{"model": "mf"}``. Only cells that match, and the clean cells of
            their victims, are measured.
        fresh: whether stored cells are measured again.
        yes: whether models may spend much at services outside this machine. ``robench plan`` shows how much.

    Returns:
        The folder of results, for ``load``.

    Raises:
        UserError: if the suite, an option, the data or the folder of results is wrong, or if another run is using the
            folder of results.
    """
    if not isinstance(suite, str | Path):
        raise UserError(f"a suite is the path of a YAML file, not {type(suite).__name__}", hint="write it to a file")
    from robench.entrance.suite import log_failures, options_of, run_suite  # noqa: PLC0415  # imports torch

    options = options_of(results, workers, executor, scheduler, overrides, only, fresh, yes)
    summary, _ = run_suite(Path(suite), options, datasets)
    log_failures(summary)
    return summary.folder


def load(folder: str | Path) -> ResultFrames:
    """Reads a folder of results and returns an object with pandas frames.

    The object's attributes ``cells``, ``leaderboard`` and ``data`` are frames, and the method ``users(cell)`` returns a
    frame. If the files of a cell are damaged, the cell counts as missing.

    Args:
        folder: the folder that ``run`` returned, for example ``results/smoke``.

    Raises:
        UserError: if the folder holds no results, if a file that all cells share is damaged, if the plan contradicts a
            record, or if no plugin offers a metric of the plan.
    """
    from robench.entrance.results import load_results  # noqa: PLC0415  # imports pandas

    return load_results(folder)


def compare(a: str | Path, b: str | Path | None = None, *, rows: str | Iterable[str] = ()) -> ComparisonFrames:
    """Compares two folders of results, or two rows.

    The result has three attributes. ``differences`` is a frame with the values of B minus those of A, and with
    intervals, p-values and verdicts. ``obstacles`` is a frame that says what cannot be compared and why. ``notes``
    names records that both sides share.

    Args:
        a: a folder of results, called A.
        b: another folder, called B. Without ``b``, ``rows`` names two rows of ``a``.
        rows: rows such as ``"mf, apr λ=0.5"``, at most two. The command line calls them ``--row``.

    Raises:
        UserError: if a folder cannot be read, or if a row is unknown, ambiguous or missing.
    """
    from robench.comparison.frames import compare_to_frames  # noqa: PLC0415  # imports pandas

    return compare_to_frames(a, b, rows)


def plugins() -> pd.DataFrame:
    """Returns a frame with one row per component that an installed plugin offers.

    The columns are ``kind``, ``name`` and ``owner``.
    """
    from robench.entrance.plugins import list_plugins  # noqa: PLC0415  # imports pandas

    return list_plugins()
