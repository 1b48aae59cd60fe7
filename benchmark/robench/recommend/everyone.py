"""Writes the lists that victims recommend to every user of their data.

``robench recommend --all-users`` uses this module. The lists are streamed, so memory does not grow with
the number of users.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from robench.api.data import IntArray, Interactions, joined
from robench.api.errors import UserError, did_you_mean
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.engine.data.prepared import Prepared
from robench.engine.rank.chunk import Scores, build_chunk, check_scores, chunk_size, mask_known, split_users
from robench.engine.rank.scoring import device_of
from robench.engine.rank.top import top_items
from robench.files.atomic import replacing
from robench.recommend.names import Titles

COLUMNS = {
    "data": pa.string(),
    "victim": pa.string(),
    "user": pa.string(),
    "rank": pa.int32(),
    "item": pa.string(),
    "title": pa.string(),
    "score": pa.float64(),
    "held_out": pa.bool_(),
}
Rows = Sequence[tuple[Any, ...]]  # rows of COLUMNS
Write = Callable[[Rows], None]


def check_out(path: Path) -> None:
    """Checks, before anything is fitted, that lists can be written to a file.

    Raises:
        UserError: if the suffix is unknown, the path is a folder, or the parent folder is missing.
    """
    if path.suffix not in WRITERS:
        hint = did_you_mean(path.suffix, WRITERS)
        raise UserError(f"unknown format '{path.suffix}'", where=str(path), path="--out", hint=hint)
    if path.is_dir():
        raise UserError("it is a folder", where=str(path), path="--out")
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent}", where=str(path), path="--out")


@dataclass(frozen=True, eq=False)
class EveryUser:
    """One data set and split, from which lists for every user are made.

    Args:
        data: the prepared data.
        titles: the names of the items.
        k: the length of the lists.
        name: the name of the data set and split.
    """

    data: Prepared
    titles: Titles
    k: int
    name: str

    @classmethod
    def of(cls, data: Prepared, k: int, name: str) -> EveryUser:
        """Creates an instance after checking the length of the lists.

        Raises:
            UserError: if k is larger than the catalogue.
        """
        n_items = len(data.catalogue.ids)
        if k > n_items:
            raise UserError(f"{k} of {n_items} items cannot be recommended", where=name, path="--k")
        return cls(data, Titles(data.catalogue), k, name)

    def rows(self, model: Model, victim: str) -> Iterator[Rows]:
        """Yields the rows of the users' lists, one chunk of users at a time.

        The users keep their order in the data. Known items are masked as in ``Query.answer``. If fewer than k items are
        left, the list is shorter.
        """
        history = joined(self.data.train, self.data.validation)
        everyone = np.arange(history.n_users, dtype=np.int64)
        for users in split_users(everyone, chunk_size(history.n_items, device_of(model))):
            scores = torch.from_numpy(_scores(model, users, history))
            masked = mask_known(scores, build_chunk(users, history, self.data.test)).numpy()
            best = top_items(masked, self.k)
            held_out = [set(self.data.test.row(user).tolist()) for user in users.tolist()]
            yield [
                (
                    self.name,
                    victim,
                    self.data.user_ids[user],
                    rank,
                    self.data.catalogue.ids[item],
                    self.titles.shown(item),
                    float(masked[row, item]),
                    item in held_out[row],
                )
                for row, user in enumerate(users.tolist())
                for rank, item in enumerate(best[row].tolist(), 1)
                if item >= 0
            ]


def _scores(model: Model, users: IntArray, history: Interactions) -> Scores:
    """Returns the scores of all items for some users, float32 [users, n_items].

    Neural models score users without known items as newcomers, because such a model has learned nothing about them.
    """
    scores = check_scores(model.scores(users, history), len(users), history.n_items)
    unknown = np.flatnonzero(history.lengths()[users] == 0)
    if isinstance(model, TorchModel) and len(unknown):
        scores = scores.copy()
        empty = Interactions.from_rows([[]], history.n_items)
        scores[unknown] = check_scores(model.newcomers(empty), 1, history.n_items)
    return scores


@contextmanager
def writing_lists(path: Path) -> Iterator[Write]:
    """Yields a function that appends rows to a file of lists.

    The file appears at the end of the block. If the block fails, an earlier file at this path is kept.

    Raises:
        UserError: if the file cannot be written.
    """
    try:
        with replacing(path) as file, WRITERS[path.suffix](file) as write:
            yield write
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=str(path)) from None


@contextmanager
def _text(file: IO[bytes]) -> Iterator[IO[str]]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    yield text
    text.flush()
    text.detach()  # the caller closes the file


@contextmanager
def _write_csv(file: IO[bytes]) -> Iterator[Write]:
    with _text(file) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        yield writer.writerows


@contextmanager
def _write_json_lines(file: IO[bytes]) -> Iterator[Write]:
    def write(text: IO[str], rows: Rows) -> None:
        for row in rows:
            text.write(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n")

    with _text(file) as text:
        yield partial(write, text)


@contextmanager
def _write_parquet(file: IO[bytes]) -> Iterator[Write]:
    schema = pa.schema(list(COLUMNS.items()))

    def write(parquet: pq.ParquetWriter, rows: Rows) -> None:
        columns = [[row[place] for row in rows] for place in range(len(COLUMNS))]
        parquet.write_table(pa.table(dict(zip(COLUMNS, columns, strict=True)), schema))

    with pq.ParquetWriter(file, schema) as parquet:
        yield partial(write, parquet)


WRITERS: dict[str, Callable[[IO[bytes]], AbstractContextManager[Write]]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
}
