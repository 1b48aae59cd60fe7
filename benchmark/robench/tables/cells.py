"""Builds the rows of cells.csv and timings.csv, and lists the cells that failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from robench.api.codec import inline
from robench.api.escapes import MOST_LINE, shortened
from robench.api.metric import Measure
from robench.spec import CellRow
from robench.store.record import compute_mean
from robench.tables.results import Results


@dataclass(frozen=True)
class ValueRow:
    """A row of cells.csv, with one value of a cell.

    The columns are a contract with the readers of the file. ``docs/reference/results.md`` lists them.

    Args:
        suite: the name of the suite.
        cell: the cell in the plan.
        achieved_epsilon: the budget that was spent, or None if the record does not state it.
        adaptive: the value of ``Attack.adaptive``, or an empty string for a clean cell.
        target_set: the number of the target set to which the value belongs, or None.
        seed: the seed of the victim.
        status: ``ok``, ``failed``, ``skipped`` or ``missing``.
        metric: the metric. This field and the next two are None if the cell was not measured.
        metric_version: the version of the metric.
        value: the mean over users, which is also None if no user has a value.
    """

    suite: str
    cell: CellRow = field(
        metadata=inline(
            *("cell", "victim", "dataset", "split", "model", "model_label", "defense", "defense_label", "lambda"),
            *("train_epsilon", "attack", "attack_label", "stage", "surface", "norm", "scale", "goal", "k", "epsilon"),
        )
    )
    achieved_epsilon: float | None
    adaptive: str
    target_set: int | None
    seed: int
    status: str
    metric: Measure | None = None
    metric_version: int | None = None
    value: float | None = None


@dataclass(frozen=True)
class TimingRow:
    """A row of timings.csv, with the cost of a cell.

    The cost is not part of cells.csv, because it differs from run to run.

    Args:
        cell: the cell in the plan.
        status: ``ok``, ``failed`` or ``skipped``.
        seconds: the duration of the measurement.
        fit_seconds: the duration of the victim's fit.
        peak_memory_mib: the peak memory of the worker so far.
        fit_texts: the number of texts that language models read during the fit. This field and the next four are None
            if no language model was used.
        fit_tokens: the number of tokens in these texts.
        texts: the number of texts that language models read during the measurement.
        tokens: the number of tokens in these texts.
        written: the number of tokens that language models generated.
    """

    cell: CellRow = field(
        metadata=inline(
            *("cell", "victim", "model_label", "defense_label", "lambda", "attack_label", "epsilon", "seed"),
        )
    )
    status: str
    seconds: float | None
    fit_seconds: float | None
    peak_memory_mib: float | None
    fit_texts: int | None
    fit_tokens: int | None
    texts: int | None
    tokens: int | None
    written: int | None


@dataclass(frozen=True)
class FailureRow:
    """A cell that failed, with its error on one line."""

    cell: CellRow = field(
        metadata=inline(
            *("cell", "dataset", "split", "model_label", "defense_label", "lambda"),
            *("attack_label", "epsilon", "seed"),
        )
    )
    error: str


def build_value_rows(results: Results) -> Iterator[ValueRow]:
    """Yields one row per cell and measure that applies to the cell.

    A cell that was not measured has one row without values. Clean cells have one row per target set for metrics of
    targets.
    """
    for cell in results.cells:
        record = results.records.get(cell.cell, {})
        achieved = record.get("achieved", {}).get("epsilon")
        head = (results.plan.suite, cell, achieved, cell.adaptive)
        status = results.status(cell)
        if status != "ok":
            yield ValueRow(*head, cell.target_set, cell.seed, status)
            continue
        for measure in results.plan.metrics:
            metric = results.metric(measure)
            every = metric.needs == "targets" and cell.target_set is None
            for number in results.sets() if every else [None]:
                values = results.per_user(cell, measure, number)
                if values is not None:
                    target_set = cell.target_set if number is None else number
                    value = (measure, metric.version, compute_mean(values))
                    yield ValueRow(*head, target_set, cell.seed, status, *value)


def build_timing_rows(results: Results) -> list[TimingRow]:
    """Returns one row per cell with a record."""
    return [_timing_row(results, cell) for cell in results.cells if cell.cell in results.records]


def _timing_row(results: Results, cell: CellRow) -> TimingRow:
    record = results.record(cell)
    usage, fit = record.get("reading", {}), record.get("fit", {})
    return TimingRow(
        cell,
        results.status(cell),
        record.get("seconds"),
        record.get("fit_seconds"),
        record.get("peak_memory_mib"),
        fit.get("texts_read"),
        fit.get("tokens_read"),
        usage.get("texts"),
        usage.get("tokens"),
        usage.get("written"),
    )


def build_failure_rows(results: Results) -> list[FailureRow]:
    """Returns one row per failed cell."""
    rows = []
    for cell in results.cells:
        if results.status(cell) == "failed":
            error = results.record(cell).get("error") or {}
            text = f"{error.get('type', '')}: {error.get('message', '')}"
            rows.append(FailureRow(cell, shortened(" ".join(text.split()), MOST_LINE)))
    return rows
