"""Summarises the certificates of models that combine votes of base models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robench.api.codec import inline
from robench.spec import CellRow, RowKey
from robench.store.certificate import FAKES, LENGTH
from robench.tables.results import Results

VALUES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class CertificateRow:
    """The plain and certified values of one model, as means over users and seeds.

    Args:
        key: the data and the victim, without the seed.
        metric: the name of the value, such as ``precision@10``.
        plain: the value of the list without fake users.
        certified: the lower bounds of the value for 0, 1, ..., 5 fake users.
        models: the number of base models.
        sample: the number of users in each sample.
        users: the number of users from which the samples are drawn.
        each: the maximum number of items that a base model votes for.
        alpha: the largest probability that any certificate of a victim is wrong.
        seeds: the number of seeds.
    """

    key: RowKey = field(metadata=inline("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon"))
    metric: str
    plain: float
    certified: tuple[float, ...]
    models: int
    sample: int
    users: int
    each: int
    alpha: float
    seeds: int


def build_certificate_rows(results: Results) -> list[CertificateRow]:
    """Returns the rows for precision, recall and F1 of every model with certificates.

    Only the certificates of clean cells count.
    """
    groups = results.grouped(
        lambda cell: cell.key, lambda cell: cell.clean and bool(results.record(cell).get("certificate"))
    )
    return [_row(results, key, name, cells) for key, cells in groups.items() for name in VALUES]


def _row(results: Results, key: RowKey, name: str, cells: list[CellRow]) -> CertificateRow:
    numbers: list[Mapping[str, float]] = [results.record(cell)["certificate"] for cell in cells]

    def mean(name: str) -> float:
        return sum(one[name] for one in numbers) / len(numbers)

    first = numbers[0]
    return CertificateRow(
        key,
        f"{name}@{LENGTH}",
        mean(name),
        tuple(mean(f"{name}_{fakes}") for fakes in FAKES),
        int(first["models"]),
        int(first["sample"]),
        int(first["users"]),
        int(first["each"]),
        first["alpha"],
        len(numbers),
    )
