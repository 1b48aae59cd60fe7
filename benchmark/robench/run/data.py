"""Data once per data set and split: read, filter, split, keep in the cache."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.api.data import Dataset, IntArray
from robench.api.errors import DataError, UserError, UserErrors
from robench.api.models.base import Model
from robench.engine.data.prepare import Prepared, prepare
from robench.engine.data.targets import choose_targets, evaluated_users
from robench.files.cache import Cache
from robench.files.sources import Sources
from robench.host.registry import Registry
from robench.run.dependencies import outside_of, readers_of
from robench.spec import Cell, Part, Victim, digest
from robench.suite.load import Suite
from robench.suite.paths import anchored, path_fields
from robench.suite.yaml import Path as Steps
from robench.suite.yaml import dotted

_PLURAL = {"title": "titles", "year": "years", "genres": "genres", "description": "descriptions"}


@dataclass(frozen=True)
class DataKey:
    """Where prepared data lies in the cache, and the digest of its content."""

    key: str
    sha256: str


def dataset_of(part: Part, registry: Registry, folder: Path) -> Dataset:
    """The data set of a part; relative paths count from the suite's folder."""
    cls: type[Dataset] = registry.class_of("dataset", part.name)
    return cls(cls.Config.model_validate(anchored(dict(part.config), cls.Config, folder)))


def data_key(dataset: Dataset, part: Part, split: Part, sources: Sources) -> str:
    """What the prepared data depends on: the bytes read, the settings, the split, the code."""
    files = path_fields(type(dataset).Config)
    settings = {name: value for name, value in part.config.items() if name not in files}
    return digest(
        {
            "dataset": part.name,
            "settings": settings,
            "bytes": dataset.fingerprint(),
            "split": split.content(),
            "code": sources.code_of([type(dataset)]),
        },
        32,
    )


def prepared(part: Part, split: Part, registry: Registry, folder: Path, cache: Cache) -> tuple[DataKey, Prepared]:
    """The prepared data, from the cache where it is there.

    Raises:
        DataError: the source cannot be read, or nothing is left of it.
    """
    dataset = dataset_of(part, registry, folder)
    key = data_key(dataset, part, split, cache.sources)
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


def roles(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """The cells of every data set and split."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(data_role(cell.victim), []).append(cell)
    return found


def ready(cells: Sequence[Cell], suite: Suite, registry: Registry, cache: Cache) -> Ready:
    """The data that cells of one data set and split need, checked to serve their targets, users and models.

    Raises:
        UserError: it cannot be read, or too little is left of it; with the place in the suite.
    """
    victim, label = cells[0].victim, cells[0].victim.dataset.label
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
    for name in dict.fromkeys(cell.victim.model.name for cell in cells if not cell.skip):
        cls: type[Model] = registry.class_of("model", name)
        if cls.reads_text and not any(getattr(item, what) for item in data.catalogue.items for what in cls.reads_of):
            told = [_PLURAL[what] for what in cls.reads_of]
            either = " or ".join(filter(None, (", ".join(told[:-1]), told[-1])))
            problem = f"{name} reads {either}, and this data set has none"
            hint = "csv: items: a file with a column title, or leave the model out of this data set by exclude"
            raise _placed(DataError(problem, hint=hint), suite, home, label)
    for part in {cell.victim.model.label: cell.victim.model for cell in cells if not cell.skip}.values():
        if not data.profiles and registry.class_of("model", part.name).make(**part.config).reads_profiles():
            problem = f"{part.label} reads what is known of users, and this data set knows nothing of them"
            raise _placed(DataError(problem, hint="csv: users: a file of what is known"), suite, home, label)
    users = evaluated_users(data, cells[0].users)
    if not len(users):
        raise _placed(DataError("no user has both a training and a test item"), suite, home, label)
    notes = () if data.timed else (f"{label}: no times: input order counts as time",)
    return Ready(key, data, users, notes)


def check_weights(cells: Iterable[Cell], suite: Suite, registry: Registry) -> None:
    """Look at the files that models and attacks read besides the data, weights say, before any work.

    Raises:
        UserErrors: they are missing or broken; each with the place in the suite.
    """
    if errors := list(wrong_weights(cells, suite, registry)):
        raise UserErrors(errors)


def wrong_weights(cells: Iterable[Cell], suite: Suite, registry: Registry) -> Iterator[UserError]:
    """What ``check_weights`` refuses, a model or attack at a time."""
    parts = {(kind, part.label): part for cell in cells for kind, part in readers_of(cell)}
    for (kind, label), part in parts.items():
        try:
            outside_of(kind, part, registry)
        except DataError as error:
            yield _placed(error, suite, suite.homes[kind][label], label)


def _placed(error: DataError, suite: Suite, path: Steps, label: str) -> UserError:
    """An error with its place in the suite, unless it names a file already."""
    if error.where:
        return error
    return DataError(f"{label}: {error.problem}", where=suite.tree.place(path), path=dotted(path), hint=error.hint)
