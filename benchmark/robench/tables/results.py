"""Reads a folder of results and recomputes values per user from its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from robench.api.data import FloatArray
from robench.api.errors import UserError
from robench.api.metric import ItemFacts, Measure, Metric, Outcome
from robench.api.threat import Threat
from robench.spec import CellRow, RowKey
from robench.store.agreement import find_contradiction
from robench.store.arrays import find_user_problem
from robench.store.external import FOLDER, ExternalAttack, list_ids, read_external
from robench.store.facts import read_facts
from robench.store.folder import Store
from robench.store.npz import Arrays
from robench.store.plan_file import PlanFile, read_plan
from robench.store.record import ENSEMBLE, Record, build_outcome
from robench.tables.memo import Memo

BASELINE, STANDARD = "popularity", "auto"  # the components with these roles in old plans, which do not state the roles
RECENT = 256  # the most outcomes in memory, because the measures of a cell are computed one after the other
KEPT = 256 << 20  # the most bytes of values in memory, because several tables read the same values
T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, eq=False)
class Results:
    """The cells of a plan with their stored records.

    Args:
        store: the store of the folder of results.
        metrics: the metrics by identity, such as ``ndcg``.
        plan: the content of plan.json.
        records: the records, by the id of the cell. A cell without a record is missing.
        damaged: the errors about damaged files, by the id of the cell or the external attack. These cells count as
            missing.
        external: the external attacks, by their id. Their cells are measured cells of the plan.
    """

    store: Store
    metrics: Mapping[str, Metric]
    plan: PlanFile
    records: Mapping[str, Record]
    damaged: Mapping[str, UserError] = field(default_factory=dict)
    external: Mapping[str, ExternalAttack] = field(default_factory=dict)
    _outcomes: dict[tuple[str, int | None], Outcome] = field(default_factory=dict, init=False)
    _values: Memo = field(default_factory=lambda: Memo(KEPT), init=False)

    @property
    def cells(self) -> tuple[CellRow, ...]:
        """The cells of the plan, in order."""
        return self.plan.cells

    def status(self, cell: CellRow) -> str:
        """Returns the status of a cell: ``ok``, ``failed``, ``skipped`` or ``missing``."""
        if cell.status == "skipped":
            return "skipped"
        record = self.records.get(cell.cell)
        return "missing" if record is None else str(record["status"])

    def ok(self, cell: CellRow) -> bool:
        """Returns whether a cell was measured."""
        return self.status(cell) == "ok"

    def record(self, cell: CellRow) -> Record:
        """Returns the record of a cell or of an external attack, which must have one."""
        return self.external[cell.cell].record if cell.cell in self.external else self.records[cell.cell]

    def arrays(self, cell: CellRow) -> Arrays:
        """Returns the checked arrays of a measured cell or of an external attack."""
        if cell.cell in self.external:
            return self.external[cell.cell].arrays
        return self.store.arrays(self.records[cell.cell])

    def external_cells(self, cell: CellRow) -> list[CellRow]:
        """Returns a row for each external attack on a cell.

        The row is that of the cell, with the id of the attack. So the values of the attack are read like those of a
        cell.
        """
        return [replace(cell, cell=attack.id) for attack in self.external.values() if attack.cell == cell.cell]

    def metric(self, measure: Measure) -> Metric:
        """Returns the metric of a measure."""
        return self.metrics[measure.name]

    def grouped(self, by: Callable[[CellRow], K], where: Callable[[CellRow], bool]) -> dict[K, list[CellRow]]:
        """Groups the measured cells that ``where`` accepts, by the value of ``by``."""
        return grouped((cell for cell in self.cells if self.ok(cell) and where(cell)), by)

    @cached_property
    def by_row(self) -> Mapping[RowKey, list[CellRow]]:
        """The cells of every row in the order of the plan, whether measured or not."""
        return grouped(self.cells, lambda cell: cell.key)

    @cached_property
    def by_id(self) -> Mapping[str, CellRow]:
        """The planned cells by their ids."""
        return {cell.cell: cell for cell in self.cells}

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """The data sets with their splits, in the plan's order."""
        return tuple(dict.fromkeys(key.place for key in self.by_row))

    @cached_property
    def device_types(self) -> Mapping[RowKey, tuple[str, ...]]:
        """The types of the devices on which the cells of each row were measured.

        The baseline has no entry.
        """
        cells = self.grouped(lambda cell: cell.key, lambda cell: not is_baseline(cell))
        return {key: tuple(sorted({self.device_type(cell) for cell in some})) for key, some in cells.items()}

    def device_type(self, cell: CellRow) -> str:
        """Returns the type of the device on which a cell was measured, such as ``cuda``."""
        device: str = self.record(cell)["provenance"]["device"]
        return device.partition(":")[0]

    @cached_property
    def _clean_by_row(self) -> Mapping[RowKey, list[CellRow]]:
        """The measured clean cells of each row, ordered by seed."""
        cells = (cell for cell in self.cells if cell.clean and self.ok(cell))
        return grouped(sorted(cells, key=lambda cell: cell.seed), lambda cell: cell.key)

    def clean_cells(self, key: RowKey) -> list[CellRow]:
        """Returns the measured clean cells of a row, ordered by seed."""
        return self._clean_by_row.get(key, [])

    @cached_property
    def _clean(self) -> Mapping[str, CellRow]:
        """The measured clean cell of every victim, by the id of the victim."""
        return {cell.victim: cell for cell in reversed(self.cells) if cell.clean and self.ok(cell)}

    @cached_property
    def ensembles(self) -> Mapping[str, list[CellRow]]:
        """The cells of ensembles, by the label of the ensemble."""
        return grouped((cell for cell in self.cells if cell.kind == ENSEMBLE), lambda cell: cell.attack_label)

    @cached_property
    def ensemble_budgets(self) -> Mapping[Threat | None, float]:
        """The smallest ε at which an ensemble is planned, by threat model."""
        planned = (cell for cells in self.ensembles.values() for cell in cells if cell.status != "skipped")
        by_threat = grouped(planned, lambda cell: cell.threat)
        return {threat: min(cell.epsilon for cell in cells) for threat, cells in by_threat.items()}

    def clean_of(self, cell: CellRow) -> CellRow | None:
        """Returns the measured clean cell of the same victim, or None."""
        return self._clean.get(cell.victim)

    def outcome(self, cell: CellRow, target_set: int | None = None) -> Outcome:
        """Returns the outcome of a measured cell.

        Args:
            cell: the cell.
            target_set: the only target set to include, or None for all sets. Clean cells hold the ranks of all sets.
        """
        key = cell.cell, target_set
        if key not in self._outcomes:
            if len(self._outcomes) >= RECENT:
                self._outcomes.clear()
            self._outcomes[key] = self._build_outcome(cell, target_set)
        return self._outcomes[key]

    def _build_outcome(self, cell: CellRow, target_set: int | None) -> Outcome:
        arrays = dict(self.arrays(cell))
        ranks = arrays.get("target_ranks")
        if ranks is not None and target_set is not None and cell.target_set is None:
            count = self.plan.targets.count
            arrays["target_ranks"] = ranks[target_set * count : (target_set + 1) * count]
        reference = self.clean_of(cell) if not cell.clean and cell.stage == "test" else None
        clean = None if reference is None else self.outcome(reference)
        return build_outcome(arrays, clean, self._facts.get("/".join(cell.key.place)))

    @cached_property
    def _facts(self) -> Mapping[str, ItemFacts | None]:
        """Facts about items, by the name of the data set and split in users.npz."""
        return {name: read_facts(known) for name, known in self.known.items()}

    @cached_property
    def known(self) -> Mapping[str, Arrays]:
        """The arrays of users.npz, by the name of the data set and split."""
        return self.store.users_by_place()

    def per_user(self, cell: CellRow, measure: Measure, target_set: int | None = None) -> FloatArray | None:
        """Returns a measure's value for each user, float64 [users], or None.

        The array is read-only. The result is None if the measure does not apply to the cell.

        Args:
            cell: the cell.
            measure: the measure.
            target_set: the only target set to include. See ``outcome``.

        Raises:
            UserError: if the record used a different version of the metric.
        """
        key = "user", cell.cell, measure, target_set
        return self._values.get(key, lambda: self._compute_per_user(cell, measure, target_set))

    def _compute_per_user(self, cell: CellRow, measure: Measure, target_set: int | None) -> FloatArray | None:
        metric = self.metric(measure)
        values = measure.per_user(metric, self.outcome(cell, target_set), cell.threat, cell.kind)
        if values is None:
            return None
        stored = self.record(cell)["metrics"].get(str(measure), {}).get("version", metric.version)
        if stored != metric.version:
            raise UserError(
                f"the record holds {measure} of version {stored}, this robench computes version {metric.version}",
                where=f"{self.store.folder}/cells/{cell.cell}.json",
                hint="measure again with --fresh; two versions are never compared",
            )
        return values

    def per_target(self, cell: CellRow, measure: Measure, target_set: int | None = None) -> FloatArray | None:
        """Returns a measure's value for each target item alone, or None.

        The result is float64 [targets, users] and read-only. Row t holds the values of the t-th item, and their mean
        over users is the value of that item. The result is None if the cell holds no target items.

        Args:
            cell: the cell.
            measure: the measure, which must be about target items.
            target_set: the only target set to include. See ``outcome``.
        """
        key = "target", cell.cell, measure, target_set
        return self._values.get(key, lambda: self._compute_per_target(cell, measure, target_set))

    def _compute_per_target(self, cell: CellRow, measure: Measure, target_set: int | None) -> FloatArray | None:
        whole, metric = self.outcome(cell, target_set), self.metric(measure)
        if whole.target_ranks is None or not len(whole.target_ranks):
            return None
        alone = (replace(whole, target_ranks=ranks[None]) for ranks in whole.target_ranks)
        return np.stack([metric.per_user(outcome, measure.k) for outcome in alone])

    def sets(self) -> range:
        """Returns the numbers of the target sets."""
        return range(self.plan.targets.sets)

    def over_sets(self, cell: CellRow, measure: Measure) -> FloatArray | None:
        """Returns the mean of a measure over the target sets, float64 [users].

        The result is None if there are no values. A clean cell holds the ranks of all target sets, so metrics of
        targets are averaged over the sets. An attacked cell holds the ranks of its own set only.
        """
        if self.metric(measure).needs != "targets" or cell.target_set is not None:
            return self.per_user(cell, measure)
        sets = [values for number in self.sets() if (values := self.per_user(cell, measure, number)) is not None]
        return np.mean(sets, axis=0) if sets else None


def read_results(
    folder: Path, metrics: Mapping[str, Metric], store: Store | None = None, plan: PlanFile | None = None
) -> Results:
    """Reads the plan of a folder and every record that the plan names.

    A cell also counts as missing if its record or its arrays are damaged, or if its data is not that of the plan.

    Args:
        folder: the folder of results.
        metrics: the metrics by identity, such as ``ndcg``.
        store: the store of the folder, if some of its arrays have already been read.
        plan: the plan of the folder, if it has already been read.

    Raises:
        UserError: if there is no plan, if a file that all cells share is damaged, or if the plan contradicts a record.
    """
    plan, store = plan or read_plan(folder), store or Store(folder)
    store.check_cells()
    records, damaged, known = {}, {}, store.users_by_place()
    for cell in plan.cells:
        try:
            record = store.read(cell.cell)
            if record is not None and record["status"] == "ok":
                check_users(store, record, known.get("/".join(cell.key.place)))
        except UserError as error:
            damaged[cell.cell] = error
            continue
        if record is None:
            continue
        data = plan.data_sha256.get("/".join(cell.key.place))
        if data in (None, record.get("provenance", {}).get("data_sha256", data)):
            records[cell.cell] = record
    if problem := find_contradiction(plan, records):
        hint = "the plan was edited; robench run SUITE writes it anew"
        raise UserError(problem, where=str(folder / "plan.json"), hint=hint)
    results = Results(store, metrics, plan, records, damaged)
    return results if not (ids := list_ids(folder)) else _with_external(results, ids)


def _with_external(results: Results, ids: Iterable[str]) -> Results:
    """Returns the results with the external attacks of the folder.

    An attack counts as damaged if its files are damaged, if it does not belong to a measured cell of the plan, or if
    its users are not those of the cell.
    """
    cells = {cell.cell: cell for cell in results.cells if results.ok(cell)}
    external, damaged = {}, dict(results.damaged)
    for name in ids:
        try:
            attack = read_external(results.store.folder, name)
            cell = cells.get(attack.cell)
            where = str(results.store.folder / FOLDER / name)
            if cell is None or attack.record["victim"] != cell.victim or attack.record["epsilon"] != cell.epsilon:
                raise UserError("its cell is not a measured cell of the plan", where=where)
            known = results.known.get("/".join(cell.key.place))
            problem = "" if known is None else find_user_problem(attack.arrays, known)
            if problem or len(attack.arrays["users"]) != len(results.arrays(cell)["users"]):
                raise UserError(problem or "its users are not those of its cell", where=where)
            external[name] = attack
        except UserError as error:
            damaged[name] = error
    return replace(results, external=external, damaged=damaged)


def check_users(store: Store, record: Record, known: Arrays | None) -> None:
    """Checks the arrays of a measured cell and compares their users with users.npz.

    Args:
        store: the store of the folder of results.
        record: the record of the cell.
        known: the arrays of users.npz for the cell's data set and split, or None if there are none.

    Raises:
        UserError: if the arrays are damaged, or belong to other users.
    """
    arrays = store.arrays(record)
    if known is not None and (problem := find_user_problem(arrays, known)):
        raise UserError(problem, where=str(store.cells / f"{record['id']}.npz"))


def grouped(items: Iterable[T], by: Callable[[T], K]) -> dict[K, list[T]]:
    """Groups items by the value of ``by``, in the order of first occurrence."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(by(item), []).append(item)
    return groups


def is_baseline(cell: CellRow) -> bool:
    """Returns whether a cell's model is the baseline that other models must beat."""
    return cell.baseline or cell.key.model == BASELINE


def is_standard(cell: CellRow) -> bool:
    """Returns whether leaderboards are ranked by the attack of a cell."""
    return cell.kind == ENSEMBLE and (cell.standard or cell.attack == STANDARD)
