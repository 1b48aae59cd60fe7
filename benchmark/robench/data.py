"""Data once per data set and split: read, filter, split, keep in the cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench.api.data import Dataset
from robench.cache import Cache
from robench.engine.prepare import Prepared, prepare
from robench.provenance import code_of
from robench.registry import Registry
from robench.spec import Part, digest
from robench.suite.anchor import anchored


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
    if not path.exists():
        with cache.alone("data", key):
            if not path.exists():
                data = prepare(dataset.load(), dataset.config, split)
                path.parent.mkdir(parents=True, exist_ok=True)
                part_path = path.with_name(f"{path.stem}.{os.getpid()}.npz")
                data.save(part_path)
                os.replace(part_path, path)
    data = Prepared.load(path)
    return DataKey(key, data.sha256()), data


def path_of(cache: Cache, key: str) -> Path:
    """The file of prepared data."""
    return cache.path("data", key).with_suffix(".npz")


def facts(data: Prepared) -> dict[str, Any]:
    """Size of the data, for people."""
    return {
        "users": data.train.n_users,
        "items": data.train.n_items,
        "interactions": len(data.train) + len(data.validation) + len(data.test),
    }
