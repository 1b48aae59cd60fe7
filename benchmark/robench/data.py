"""Data once per data set and split: read, filter, split, keep in the cache."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from robench.api.data import Dataset, IntArray
from robench.api.errors import DataError, UserError
from robench.api.model import Model
from robench.cache import Cache
from robench.engine.prepare import Prepared, choose_targets, evaluated_users, prepare
from robench.provenance import code_of
from robench.registry import Registry
from robench.spec import Cell, Part, Victim, digest
from robench.suite.anchor import anchored
from robench.suite.load import Suite
from robench.suite.yaml import Path as Steps
from robench.suite.yaml import dotted


@dataclass(frozen=True)
class DataKey:
    """Where prepared data lies in the cache, and the digest of its content."""

    key: str
    sha256: str


def dataset_of(part: Part, registry: Registry, folder: Path) -> Dataset:
    """The data set of a part; relative paths count from the suite's folder."""
    cls: type[Dataset] = registry.load("dataset", part.name)
    return cls(cls.Config.model_validate(anchored(dict(part.config), cls.Config, folder)))


def data_key(dataset: Dataset, part: Part, split: Part) -> str:
    """What the prepared data depends on: the bytes read, the settings, the split, the code."""
    settings = {name: value for name, value in part.config.items() if name not in ("path", "items")}
    return digest(
        {
            "dataset": part.name,
            "settings": settings,
            "bytes": dataset.fingerprint(),
            "split": split.content(),
            "code": code_of([type(dataset)]),
        },
        32,
    )


def prepared(part: Part, split: Part, registry: Registry, folder: Path, cache: Cache) -> tuple[DataKey, Prepared]:
    """The prepared data, from the cache where it is there.

    Raises:
        DataError: the source cannot be read, or nothing is left of it.
    """
    dataset = dataset_of(part, registry, folder)
    key = data_key(dataset, part, split)
    path = path_of(cache, key)
    data = _loaded(path)
    if data is None:
        with cache.alone("data", key):
            data = _loaded(path)
            if data is None:
                data = prepare(dataset.load(), dataset.config, split)
                path.parent.mkdir(parents=True, exist_ok=True)
                part_path = path.with_name(f"{path.stem}.{os.getpid()}.npz")
                data.save(part_path)
                os.replace(part_path, path)
    return DataKey(key, data.sha256()), data


def _loaded(path: Path) -> Prepared | None:
    """Prepared data; None where it is missing or damaged (it is then made anew)."""
    try:
        return Prepared.load(path)
    except (FileNotFoundError, zipfile.BadZipFile, EOFError, KeyError, ValueError):
        return None


def path_of(cache: Cache, key: str) -> Path:
    """The file of prepared data."""
    return cache.path("data", key).with_suffix(".npz")


@dataclass(frozen=True, eq=False)
class Ready:
    """The data of a suite's cells; ``users`` are those who are evaluated."""

    key: DataKey
    data: Prepared
    users: IntArray
    notes: tuple[str, ...]


def data_role(victim: Victim) -> str:
    """The name of a data set and split in users.npz."""
    return f"{victim.dataset.label}/{victim.split.label}"


def roles(cells: Iterable[Cell]) -> dict[str, Cell]:
    """The first cell of every data set and split."""
    found: dict[str, Cell] = {}
    for cell in cells:
        found.setdefault(data_role(cell.victim), cell)
    return found


def ready(cell: Cell, suite: Suite, registry: Registry, cache: Cache) -> Ready:
    """The data that a cell needs, checked to serve its targets and users.

    Raises:
        UserError: it cannot be read, or too little is left of it; with the place in the suite.
    """
    victim, label = cell.victim, cell.victim.dataset.label
    home = suite.homes["dataset"][label]
    try:
        key, data = prepared(victim.dataset, victim.split, registry, suite.folder, cache)
    except DataError as error:
        raise _placed(error, suite, home, label) from None
    if victim.targets.count:
        try:
            choose_targets(data.train, victim.targets)
        except DataError as error:
            error.hint = "targets.count times targets.sets items are drawn: lower one of them"
            raise _placed(error, suite, ("targets",), label) from None
    readers = [part.name for part in suite.models if registry.load("model", part.name).reads_text]
    if readers and not any(item.title for item in data.catalogue.items):
        problem = f"{readers[0]} reads the items' titles, and this data set has none"
        raise _placed(DataError(problem, hint="csv: items: a file with titles"), suite, home, label)
    users = evaluated_users(data, cell.users)
    if not len(users):
        raise _placed(DataError("no user has both a training and a test item"), suite, home, label)
    notes = () if data.timed else (f"{label}: no times: input order counts as time",)
    return Ready(key, data, users, notes)


def check_weights(cells: Iterable[Cell], suite: Suite, registry: Registry) -> None:
    """Look at the files that models read besides the data, weights say, before any work.

    Raises:
        UserError: they are missing or broken; with the place in the suite.
    """
    models = {cell.victim.model.label: cell.victim.model for cell in cells}
    for label, part in models.items():
        cls: type[Model] = registry.load("model", part.name)
        try:
            cls(cls.Config.model_validate(dict(part.config))).outside()
        except DataError as error:
            raise _placed(error, suite, suite.homes["model"][label], label) from None


def _placed(error: DataError, suite: Suite, path: Steps, label: str) -> UserError:
    """An error with its place in the suite, unless it names a file already."""
    if error.where:
        return error
    return DataError(f"{label}: {error.problem}", where=suite.tree.place(path), path=dotted(path), hint=error.hint)
