"""Finds the folder at which the relative paths of a stored suite start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from robench.api.errors import DataError, UserError, UserErrors
from robench.host.registry import Registry
from robench.run.data import split_files
from robench.store.origin import find_suite_folder
from robench.suite.load import Suite, load_suite
from robench.suite.paths import anchor_path, find_path_fields


def load_stored_suite(results: Path, data: Path | None, registry: Registry) -> Suite:
    """Loads the suite of a folder of results, and finds the files that it names.

    Without ``data``, relative paths start at the first of these folders that has all the files: the
    folder of results, the folder of the suite file that was run, or the current folder.

    Args:
        results: the folder of results.
        data: the folder at which relative paths start, or None to look for it.
        registry: the plugins.
    """
    suite = load_suite(results / "suite.yaml", registry)
    if data is not None:
        return replace(suite, folder=data)
    folders = [folder for folder in (results, find_suite_folder(results), Path()) if folder is not None]
    complete = (folder for folder in folders if all(path.exists() for path in _paths(suite, registry, folder)))
    return replace(suite, folder=next(complete, results))


def advise(error: UserError, results: Path, registry: Registry) -> str:
    """Returns advice about data that cannot be read.

    The advice is empty if the error is not about data.

    Args:
        error: the reason why no cell could be measured again.
        results: the folder of results.
        registry: the plugins.
    """
    errors = error.errors if isinstance(error, UserErrors) else (error,)
    if not any(isinstance(one, DataError) for one in errors):
        return ""
    suite = load_suite(results / "suite.yaml", registry)
    relative = any(not path.is_absolute() for path in _paths(suite, registry, Path()))
    if relative:
        return "; --data FOLDER says where the relative paths of the suite start"
    return "; --sample 0 checks everything that needs no data"


def _paths(suite: Suite, registry: Registry, folder: Path) -> Iterator[Path]:
    """Yields the paths of the data sets and the split.

    Relative paths start at ``folder``.
    """
    for part in suite.datasets:
        fields = find_path_fields(registry.class_of("dataset", part.name).Config)
        yield from (anchor_path(part.config[name], folder) for name in fields if part.config.get(name) is not None)
    yield from split_files(suite.split, folder).values()
