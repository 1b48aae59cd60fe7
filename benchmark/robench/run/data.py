"""Prepares the data of a suite and checks that the models can use it.

The data is prepared once per data set and split.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robench.api.data import IntArray
from robench.api.dataset import PARTS, Dataset
from robench.api.digest import digest
from robench.api.errors import DataError
from robench.api.models.base import Model
from robench.engine.data.prepare import prepare
from robench.engine.data.prepared import Prepared
from robench.engine.data.summary import notes_on_descriptions
from robench.engine.data.targets import choose_targets, evaluated_users, no_users_error
from robench.files.atomic import write_bytes, write_text
from robench.files.cache import Cache, touch
from robench.files.reading import parse_json, read_file
from robench.files.source_data import require_source_data
from robench.files.sources import Sources
from robench.host.registry import Registry
from robench.run.dependencies import placed
from robench.run.vectors import add_vectors, digest_of_vectors
from robench.spec import Cell, Part, Victim
from robench.suite.load import Suite
from robench.suite.paths import anchor_path, anchor_paths, find_path_fields

FILES = "files"  # the name of the split that takes its parts from separate files
PREPARED_FORMAT = 3  # increased if earlier prepared data can no longer be read, or if the rules of preparation change
_PLURAL = {"title": "titles", "year": "years", "genres": "genres", "description": "descriptions"}


@dataclass(frozen=True)
class DataKey:
    """The key of prepared data in the cache, and the digest of the data."""

    key: str
    sha256: str


@dataclass(frozen=True, eq=False)
class SuiteData:
    """The prepared data of one data set and split of a suite.

    Args:
        key: the key and the digest of the data.
        data: the prepared data.
        users: the rows of the evaluated users, int64 [U].
        label: the label of the data set.
    """

    key: DataKey
    data: Prepared
    users: IntArray
    label: str

    @property
    def notes(self) -> list[str]:
        """The lines for the user about peculiarities of the data."""
        return [f"{self.label}: {note}" for note in self.data.summary.notes]


def data_name(victim: Victim) -> str:
    """Returns the name of a victim's data set and split, as in users.npz."""
    return f"{victim.dataset.label}/{victim.split.label}"


def group_by_data(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Groups cells by the name of their data set and split."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(data_name(cell.victim), []).append(cell)
    return groups


def data_path(cache: Cache, key: str) -> Path:
    """Returns the path in the cache for the prepared data with this key."""
    return cache.path("data", key).with_suffix(".npz")


def hash_files(cache: Cache, key: str) -> dict[str, str]:
    """Returns the sha256 of each file of prepared data, by the path below the cache."""
    path = data_path(cache, key)
    files = {}
    for one in (path, path.with_suffix(".json")):
        with one.open("rb") as content:
            files[one.relative_to(cache.folder).as_posix()] = hashlib.file_digest(content, "sha256").hexdigest()
    return files


def prepare_data(
    part: Part, split: Part, registry: Registry, folder: Path, cache: Cache, *, required: bool = False
) -> tuple[DataKey, Prepared]:
    """Returns the key of a data set's prepared data, and the data.

    If the cache does not contain the data, the function prepares and stores it.

    Args:
        part: the data set.
        split: the split of the data set.
        registry: the plugins.
        folder: the folder of the suite, to which relative paths refer.
        cache: the cache for prepared data.
        required: whether to fail if the data cannot be written to the cache, from which workers read.

    Raises:
        DataError: if the source was not downloaded or cannot be read, or if no interactions are left.
        UserError: if ``required`` is true and the cache cannot be written.
    """
    cls: type[Dataset] = registry.class_of("dataset", part.name)
    dataset = registry.make("dataset", replace(part, config=anchor_paths(part.config, cls.Config, folder)))
    if dataset.downloads:
        dataset.folder = require_source_data(cache, part.name)
    if split.name == FILES:
        dataset = dataset.with_files(split_files(split, folder))
    key = _key(dataset, part, split, cache.sources)
    data, _ = _load(cache, key)
    if data is None:
        with cache.alone("data", key):
            data, problem = _load(cache, key)
            if problem:
                cache.drop(data_path(cache, key), problem)
            if data is None:
                data = SealedData.of(add_vectors(prepare(dataset.load(), dataset.config, split), dataset.config))
                try:
                    data.save(cache, key)
                except OSError as error:
                    if required:
                        raise cache.describe_failure(error) from None
    return DataKey(key, data.sha256), data.data


def split_files(split: Part, folder: Path) -> dict[str, Path]:
    """Returns the file of each part of a split, by a name such as ``test``.

    Only the split ``files`` has files.
    """
    names = [name for name in PARTS if name in split.config] if split.name == FILES else []
    return {name: anchor_path(split.config[name], folder) for name in names}


def load_prepared(cache: Cache, key: DataKey) -> Prepared:
    """Returns prepared data from the cache, for a worker.

    Raises:
        DataError: if the data is missing or damaged, or differs from the data that the run prepared.
    """
    data, problem = _load(cache, key.key)
    if data is None or data.sha256 != key.sha256:
        problem = problem or "it is not the data that this run prepared"
        raise DataError(problem, where=str(data_path(cache, key.key)), hint="robench run prepares it again")
    touch(data_path(cache, key.key))
    return data.data


@dataclass(frozen=True, eq=False)
class SealedData:
    """Prepared data with its digest.

    The cache holds the data in one file. A second file with the same stem holds the key, the sha256 of the first file
    and the digest of the data.
    """

    data: Prepared
    sha256: str

    @classmethod
    def of(cls, data: Prepared) -> SealedData:
        """Seals prepared data with its digest."""
        return cls(data, data.sha256())

    def save(self, cache: Cache, key: str) -> None:
        """Writes the file with the data, and then the file with the key and the digests."""
        path = data_path(cache, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = self.data.to_bytes()
        digests = {"key": key, "file": hashlib.sha256(content).hexdigest(), "data": self.sha256}
        write_bytes(path, content)
        write_text(path.with_suffix(".json"), json.dumps(digests))


def _key(dataset: Dataset, part: Part, split: Part, sources: Sources) -> str:
    """Returns the key of a data set and split in the cache.

    The key is a digest of the data set's name, settings, bytes and code, and of the split.
    """
    files = [*find_path_fields(type(dataset).Config), "item_vectors"]
    settings = {name: value for name, value in part.config.items() if name not in files}
    source = dataset.config.item_vectors
    vectors = {"vectors": digest_of_vectors(source)} if source.given else {}
    return digest(
        vectors
        | {
            "dataset": part.name,
            "settings": settings,
            "bytes": dataset.fingerprint(),
            "split": {"name": FILES} if split.name == FILES else split.content(),
            "code": sources.code_of([type(dataset)]),
            "format": PREPARED_FORMAT,
        },
        32,
    )


def _load(cache: Cache, key: str) -> tuple[SealedData | None, str]:
    """Returns prepared data from the cache, and a description of any fault.

    The data is None if it is missing or damaged. The description is empty if the data is missing or sound.
    """
    path = data_path(cache, key)
    try:
        content = read_file(path)
        digests = parse_json(read_file(path.with_suffix(".json")), str(path.with_suffix(".json")))
        if (digests["key"], digests["file"]) != (key, hashlib.sha256(content).hexdigest()):
            return None, "its content is not what its sha256 says"
        data = SealedData.of(Prepared.from_bytes(content))  # the file may change after its bytes were hashed
        return (data, "") if digests["data"] == data.sha256 else (None, "its data is not what its digest says")
    except FileNotFoundError:
        return None, "" if not os.path.lexists(path) else "it has no digests"
    except Exception as error:  # readers raise many classes of exceptions on damaged files
        return None, f"{type(error).__name__}: {error}"


def load_suite_data(
    cells: Sequence[Cell], suite: Suite, registry: Registry, cache: Cache, *, required: bool = False
) -> SuiteData:
    """Prepares the data of some cells and checks that the cells can use the data.

    Args:
        cells: the cells of one data set and split.
        suite: the suite of these cells.
        registry: the plugins.
        cache: the cache for prepared data.
        required: whether to fail if the data cannot be written to the cache, from which workers read.

    Raises:
        UserError: if the data cannot be read, if no user can be evaluated, if the targets cannot be chosen, if the data
            lacks what a model or a metric needs, or if ``required`` is true and the cache cannot be written.
    """
    victim, label = cells[0].victim, cells[0].victim.dataset.label
    home = suite.homes["dataset"][label]
    try:
        key, data = prepare_data(victim.dataset, victim.split, registry, suite.folder, cache, required=required)
    except DataError as error:
        files = split_files(victim.split, suite.folder).values()
        raise placed(error, suite, ("split",) if error.where in map(str, files) else home, label) from None
    if victim.targets.count:
        try:
            choose_targets(data.train, victim.targets, data.catalogue.ids)
        except DataError as error:
            error.hint = error.hint or "targets.count times targets.sets items are drawn: lower one of them"
            raise placed(error, suite, ("targets",), label) from None
    problem = _texts_problem(cells, data, registry) or _profiles_problem(cells, data, registry)
    problem = problem or _vectors_problem(cells, data, registry)
    if problem is not None:
        raise placed(problem, suite, home, label)
    if not len(data.validation) and any(one.needs == "likes" for one in registry.metrics(suite.metrics).values()):
        lacks = DataError("metrics of likes need validation items, and this data set has none")
        raise placed(lacks, suite, ("metrics",), label)
    users = evaluated_users(data, cells[0].users)
    if not len(users):
        raise placed(no_users_error(victim.split), suite, home, label)
    return SuiteData(key, data, users, label)


def _texts_problem(cells: Iterable[Cell], data: Prepared, registry: Registry) -> DataError | None:
    """Returns an error if a model reads texts that the items lack, else None."""
    for name in dict.fromkeys(cell.victim.model.name for cell in cells if not cell.skip):
        cls: type[Model] = registry.class_of("model", name)
        if cls.reads_text and not any(getattr(item, field) for item in data.catalogue.items for field in cls.reads_of):
            fields = [_PLURAL[field] for field in cls.reads_of]
            either = " or ".join(filter(None, (", ".join(fields[:-1]), fields[-1])))
            hint = "csv: items: a file with a column title, or leave the model out of this data set by exclude"
            hint = "; ".join((*notes_on_descriptions(data.summary), hint))
            return DataError(f"{name} reads {either}, and this data set has none", hint=hint)
    return None


def _vectors_problem(cells: Iterable[Cell], data: Prepared, registry: Registry) -> DataError | None:
    """Returns an error if a model reads vectors that the data lacks, else None."""
    for name in dict.fromkeys(cell.victim.model.name for cell in cells if not cell.skip):
        if data.catalogue.vectors is None and registry.class_of("model", name).feature_table:
            hint = "item_vectors: a file with vectors and ids, or item_vectors: {texts: true}"
            return DataError(f"{name} reads vectors of items, and this data set has none", hint=hint)
    return None


def _profiles_problem(cells: Iterable[Cell], data: Prepared, registry: Registry) -> DataError | None:
    """Returns an error if a model reads profiles that the data lacks, else None."""
    for part in {cell.victim.model.label: cell.victim.model for cell in cells if not cell.skip}.values():
        if not data.profiles and registry.class_of("model", part.name).make(**part.config).reads_profiles():
            problem = f"{part.label} reads what is known of users, and this data set knows nothing of them"
            return DataError(problem, hint="csv: users: a file of what is known")
    return None
