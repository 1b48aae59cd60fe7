"""Reads the vectors of items from files and matches them to a catalogue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.errors import DataError, counted
from robench.api.item_vectors import ItemVectors, VectorSource
from robench.engine.data.prepared import Prepared

SUFFIXES = (".npy", ".safetensors", ".parquet")
MOST = 65_536  # the largest length of a vector
ID_COLUMNS = ("item", "item_id", "id")


def read_vectors(source: VectorSource) -> ItemVectors:
    """Reads the file of a source.

    Raises:
        DataError: if the file cannot be read, or if it holds no matrix with an id for each row.
    """
    path = source.file
    assert path is not None  # the caller has checked this
    if path.suffix not in SUFFIXES:
        raise DataError(f"vectors are read from {', '.join(SUFFIXES)}", where=str(path))
    try:
        match path.suffix:
            case ".npy":
                return _checked(path, *_read_npy(source, path))
            case ".safetensors":
                return _checked(path, *_read_safetensors(path))
            case _:
                return _checked(path, *_read_parquet(path))
    except FileNotFoundError:
        raise DataError("no such file", where=str(path)) from None
    except DataError:
        raise
    except Exception as error:  # readers raise many classes of exceptions on damaged files
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"cannot be read as vectors: {line}", where=str(path)) from None


def match_vectors(data: Prepared, vectors: ItemVectors, where: str = "") -> Prepared:
    """Returns a data set with the vectors of its items, and a note on their number.

    Raises:
        DataError: if a vector is not finite, if an id occurs twice, or if no item of the data set has a vector.
    """
    rows = np.ascontiguousarray(vectors.rows, dtype=np.float32)
    finite = np.isfinite(rows).all(1)
    if not finite.all():
        name, count = vectors.ids[int(np.flatnonzero(~finite)[0])], int((~finite).sum())
        raise DataError(f"the vector of item '{name}' is not finite ({count} such)", where=where)
    place = {name: row for row, name in enumerate(vectors.ids)}
    if len(place) < len(vectors.ids):
        double = next(name for row, name in enumerate(vectors.ids) if place[name] != row)
        raise DataError(f"item '{double}' has two vectors", where=where)
    ids = data.catalogue.ids
    own = np.array([place.get(name, -1) for name in ids], dtype=np.int64)
    count = int((own >= 0).sum())
    if not count:
        hint = f"the file has ids such as '{next(iter(place), '')}', and the data set has ids such as '{ids[0]}'"
        raise DataError("no item of the data set has a vector", where=where, hint=hint)
    table = np.where((own >= 0)[:, None], rows[own], np.float32(0))
    missing = next((name for name, row in zip(ids, own, strict=True) if row < 0), "")
    note = f"vectors of {table.shape[1]} numbers: {count} of {len(ids)} items have one"
    note += f", but not '{missing}'" if missing else ""
    others = len(place) - count
    note += f"; {counted(others, 'vector')} of other items not used" if others else ""
    summary = data.summary
    described = {**summary.described, "vectors": count}
    summary = replace(summary, described=described, notes=(*summary.notes, note))
    return replace(data, catalogue=replace(data.catalogue, vectors=table), summary=summary)


def _read_npy(source: VectorSource, path: Path) -> tuple[Sequence[Any], NDArray[Any]]:
    rows = np.load(path, allow_pickle=False)
    if source.first_id is not None:
        return range(source.first_id, source.first_id + len(rows)), rows
    listed = source.ids or path.with_name(path.name + ".txt")
    try:
        return listed.read_text(encoding="utf-8").splitlines(), rows
    except FileNotFoundError:
        hint = "ids: a file with one id per line, or first_id: the id of the first row"
        raise DataError(f"no ids of the rows: {listed} is missing", where=str(path), hint=hint) from None
    except (OSError, ValueError) as error:
        raise DataError(f"ids cannot be read: {error}", where=str(listed)) from None


def _read_safetensors(path: Path) -> tuple[Sequence[Any], NDArray[Any]]:
    from safetensors import safe_open  # noqa: PLC0415  # only this format needs it

    with safe_open(path, framework="numpy") as file:
        notes, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    matrices = [name for name, tensor in tensors.items() if tensor.ndim == 2]
    if len(matrices) != 1:
        raise DataError(f"matrices: {len(matrices)}, not one with the vectors", where=str(path))
    if "ids" in tensors:
        return tensors["ids"].tolist(), tensors[matrices[0]]
    if "ids" not in notes:
        hint = "a tensor ids of whole numbers, or metadata ids with a JSON list"
        raise DataError("no ids of the rows", where=str(path), hint=hint)
    return json.loads(notes["ids"]), tensors[matrices[0]]


def _read_parquet(path: Path) -> tuple[Sequence[Any], NDArray[Any]]:
    import pyarrow.parquet as pq  # noqa: PLC0415  # only this format needs it

    table = pq.read_table(path)
    names = [name for name in ID_COLUMNS if name in table.column_names]
    if not names:
        raise DataError(f"no column of ids: {', '.join(ID_COLUMNS)}", where=str(path))
    others = [name for name in table.column_names if name != names[0]]
    ids = table.column(names[0]).to_pylist()
    if len(others) == 1 and "list" in str(table.schema.field(others[0]).type):
        vectors = table.column(others[0]).to_pylist()
        lengths = {len(one or ()) for one in vectors}
        if len(lengths) > 1:
            raise DataError(f"vectors of {min(lengths)} and of {max(lengths)} numbers", where=str(path))
        return ids, np.array(vectors, dtype=np.float32)
    return ids, np.stack([table.column(name).to_numpy() for name in others], 1)


def _checked(path: Path, ids: Sequence[Any], rows: NDArray[Any]) -> ItemVectors:
    """Returns the vectors of a file, after checking their shape.

    Raises:
        DataError: if the rows are no matrix of numbers, or if there is not one id per row.
    """
    if rows.ndim != 2 or rows.dtype.kind not in "fiu" or not 0 < rows.shape[1] <= MOST:
        shape = " × ".join(map(str, rows.shape))
        raise DataError(f"{rows.dtype} of shape {shape}, not one row of numbers per item", where=str(path))
    names = [str(one) for one in ids]
    if len(names) != len(rows):
        raise DataError(f"{len(names)} ids for {len(rows)} vectors", where=str(path))
    return ItemVectors(names, rows.astype(np.float32))
