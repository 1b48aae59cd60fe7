"""Reading a folder of results: the plan, its records, and per-user values recomputed from the arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.errors import UserError
from robench.api.metric import Measure, Metric, Outcome
from robench.api.threat import Threat
from robench.spec import NO_DEFENSE
from robench.store.folder import Store
from robench.store.record import ENSEMBLE, Record, outcome_of

Columns = Mapping[str, Any]
RowKey = tuple[Any, ...]
BASELINE, STANDARD = "popularity", "auto"  # who had these roles in plans that do not note them
ROW = ("dataset", "split", "model", "model_label", "defense", "defense_label", "lambda", "train_epsilon")


def read_plan(folder: Path) -> dict[str, Any]:
    """plan.json of a folder.

    Raises:
        UserError: there is none, or it is not one.
    """
    path = folder / "plan.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            "no plan.json: not a folder of results", where=str(folder), hint="robench run writes one"
        ) from None
    except NotADirectoryError:
        raise UserError("a file, not a folder of results", where=str(folder)) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise UserError("not UTF-8", where=str(path)) from None
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    if not isinstance(plan, dict) or plan.get("format_version") != 1:
        raise UserError("not a plan of format 1", where=str(path))
    return plan


@dataclass(eq=False)
class Results:
    """A plan with the records that are there.

    Args:
        folder: of the results.
        metrics: metric objects by registered name (``ndcg``).
        store: the folder, if some of its arrays were read already.
    """

    folder: Path
    metrics: Mapping[str, Metric]
    store: Store | None = None
    plan: dict[str, Any] = field(init=False)
    records: dict[str, Record] = field(init=False, default_factory=dict)
    _store: Store = field(init=False)

    def __post_init__(self) -> None:
        """Read the plan and every record that it names; a damaged one is an error.

        A record that was measured on other data than the plan's is left out: its cell is missing.
        """
        self.plan = read_plan(self.folder)
        self._store = self.store or Store(self.folder)
        store, data = self._store, self.plan.get("data_sha256", {})
        for columns in self.plan["cells"]:
            record = store.read(columns["cell"])
            if record is None:
                continue
            wanted = data.get(f"{columns['dataset']}/{columns['split']}")
            if wanted in (None, record.get("provenance", {}).get("data_sha256", wanted)):
                self.records[columns["cell"]] = record

    @property
    def cells(self) -> list[Columns]:
        """The plan's cells, in its order."""
        found: list[Columns] = self.plan["cells"]
        return found

    def metric(self, measure: str) -> Metric:
        """Returns the metric of a measure such as ``ndcg@10``."""
        return self.metrics[Measure.parse(measure).name]

    def status(self, columns: Columns) -> str:
        """``ok``, ``failed``, ``skipped`` or ``missing``."""
        if columns["status"] == "skipped":
            return "skipped"
        record = self.records.get(columns["cell"])
        return "missing" if record is None else str(record["status"])

    def ok(self, columns: Columns) -> bool:
        """Whether the cell was measured."""
        return self.status(columns) == "ok"

    def arrays(self, cell: str) -> dict[str, NDArray[Any]]:
        """The arrays of a measured cell, checked against their sha256."""
        return self._store.arrays(self.records[cell])

    def clean_of(self, columns: Columns) -> Columns | None:
        """The clean cell of the same victim."""
        same = (c for c in self.cells if c["victim"] == columns["victim"] and c["attack"] == "none")
        return next((c for c in same if self.ok(c)), None)

    def outcome(self, columns: Columns, target_set: int | None = None) -> Outcome:
        """What was measured in a cell; target ranks of one set where one is named."""
        arrays = dict(self.arrays(columns["cell"]))
        ranks = arrays.get("target_ranks")
        if ranks is not None and target_set is not None and columns["target_set"] is None:
            count = self.plan["targets"]["count"]
            arrays["target_ranks"] = ranks[target_set * count : (target_set + 1) * count]
        clean = None
        if columns["attack"] != "none" and columns["stage"] == "test":
            reference = self.clean_of(columns)
            clean = None if reference is None else self.outcome(reference)
        return outcome_of(arrays, clean)

    def per_user(self, columns: Columns, metric: str, target_set: int | None = None) -> NDArray[np.float64] | None:
        """Values of ``ndcg@10`` per user, or None where the metric does not apply to the cell."""
        made = self.metric(metric)
        outcome = self.outcome(columns, target_set)
        values = Measure.parse(metric).per_user(made, outcome, threat_of(columns), columns.get("kind", ""))
        if values is None:
            return None
        stored = self.records[columns["cell"]]["metrics"].get(metric, {}).get("version", made.version)
        if stored != made.version:
            where = f"{self.folder}/cells/{columns['cell']}.json"
            raise UserError(
                f"the record holds {metric} of version {stored}, this robench computes version {made.version}",
                where=where,
                hint="measure again with --fresh; two versions are never compared",
            )
        return values

    def sets(self) -> range:
        """The target sets."""
        return range(int(self.plan["targets"]["sets"]))

    def over_sets(self, columns: Columns, metric: str) -> NDArray[np.float64] | None:
        """Values per user, target metrics averaged over the target sets (clean cells hold all of them)."""
        if self.metric(metric).needs != "targets" or columns["target_set"] is not None:
            return self.per_user(columns, metric)
        found = [self.per_user(columns, metric, number) for number in self.sets()]
        known = [values for values in found if values is not None]
        return np.mean(known, axis=0) if known else None


def ensembles_of(results: Results, entry: Mapping[str, Any]) -> bool:
    """Whether an ensemble attacks under the threat model of a table: then the table is the ensembles' alone."""
    same = (c for c in results.cells if c.get("kind") == ENSEMBLE and c["status"] != "skipped")
    return any(threat_of(c) == threat_of(entry) and c["epsilon"] <= entry["epsilon"] for c in same)


def is_baseline(columns: Columns) -> bool:
    """Returns whether the model of a cell is the line that every other model must clear."""
    return bool(columns.get("baseline")) or columns["model"] == BASELINE


def is_undefended(columns: Columns) -> bool:
    """Returns whether the victim of a cell has no defence."""
    return bool(columns["defense"] == NO_DEFENSE.name)


def is_standard(columns: Columns) -> bool:
    """Returns whether the attack of a cell is the fixed ensemble by which leaderboards are published."""
    return columns.get("kind") == ENSEMBLE and (bool(columns.get("standard")) or columns["attack"] == STANDARD)


def row_of(columns: Columns) -> RowKey:
    """What identifies a leaderboard row: data, split, model, defence, λ, training ε."""
    return tuple(columns[name] for name in ROW)


def threat_of(columns: Columns) -> Threat | None:
    """Returns the threat model of a cell or ranking entry; None for a clean cell."""
    return Threat(**{f.name: columns[f.name] for f in fields(Threat)}) if columns["surface"] else None
