"""Scores the artefacts of external attacks: new ones, and those of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from robench.api.errors import UserError, counted
from robench.api.surfaces import SURFACES
from robench.files.cache import Cache
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.external import ExternalScore, score_artefact
from robench.spec import CellRow
from robench.store.artefact import Artefact
from robench.store.external import FOLDER, ExternalAttack, read_stored_artefact
from robench.store.record import compute_metric_values
from robench.tables.results import Results
from robench.tables.units import read_values
from robench.verify.data_folder import load_stored_suite
from robench.verify.findings import Findings
from robench.verify.rerun import Sample, compare_outcomes


@dataclass(frozen=True)
class Comparison:
    """An artefact and the stored measurement of its cell, compared in one metric.

    Args:
        measure: the metric.
        stored: the mean of the stored cell.
        alone: the mean under the artefact alone.
        best: the mean if each user has the worse of both outcomes. If one perturbation serves all users, it is the
            worse of both means.
        users: the number of users for whom the artefact is worse than the stored cell.
    """

    measure: str
    stored: float
    alone: float
    best: float
    users: int


@contextmanager
def empty_cache() -> Iterator[Cache]:
    """Yields an empty cache, so that nothing from an earlier fit is used."""
    with TemporaryDirectory(prefix="robench-verify-") as place:
        yield Cache(Path(place))


def score_in_folder(
    results: Results, artefact: Artefact, registry: Registry, cache: Cache, data: Path | None
) -> ExternalScore:
    """Scores an artefact against the victim of a cell in a folder of results.

    Args:
        results: the results of the folder.
        artefact: the artefact.
        registry: the plugins.
        cache: the cache for prepared data and checkpoints.
        data: the folder from which the suite's relative paths start, or None to look for it.

    Raises:
        UserError: if the suite cannot be planned here, if the data differ, if the cell was not measured, or if the
            artefact does not fit its cell or is beyond its budget.
    """
    suite = load_stored_suite(results.store.folder, data, registry)
    score = score_artefact(artefact, suite, make_plan(suite, registry), registry, cache)
    cell = results.by_id.get(artefact.cell)
    if cell is None or not results.ok(cell):
        raise UserError(f"cell {artefact.cell} is not measured on the board", where=artefact.where)
    expected = results.plan.data_sha256.get("/".join(cell.key.place))
    if expected not in (None, score.content["provenance"]["data_sha256"]):
        raise UserError("the data here are different", where=str(results.store.folder / "plan.json"))
    return score


def compare_with_cell(results: Results, attack: ExternalAttack) -> list[Comparison]:
    """Compares an external attack with the stored measurement of its cell.

    The metrics are those of the ranking tables with the cell's threat model.

    Args:
        results: the results of the folder, which contain the attack.
        attack: the attack.
    """
    cell = results.by_id[attack.cell]
    (row,) = [row for row in results.external_cells(cell) if row.cell == attack.id]
    measures = dict.fromkeys(table.metric for table in results.plan.ranking if table.threat == cell.threat)
    comparisons = []
    for measure in measures:
        old, new = read_values(results, cell, measure), read_values(results, row, measure)
        if old is None or new is None:
            continue
        high = results.metric(measure).prefers_high(cell.threat)
        before, after = old.mean(0), new.mean(0)
        harmed = after < before if high else after > before
        alone = SURFACES[cell.threat.surface].each_user_alone if cell.threat is not None else False
        means = float(np.nanmean(before)), float(np.nanmean(after))
        best = float(np.nanmean(np.where(harmed, after, before))) if alone else (min if high else max)(means)
        comparisons.append(Comparison(str(measure), *means, best, int(harmed.sum())))
    return comparisons


def check_external(results: Results, sample: Sample, registry: Registry, findings: Findings) -> None:
    """Checks the external attacks of a folder and scores a sample of them again.

    Metrics are computed again from the arrays. As many attacks are drawn as cells are measured again, or all attacks if
    there are fewer.
    """
    attacks = sorted(results.external.values(), key=lambda attack: attack.id)
    if not attacks:
        return
    for attack in attacks:
        _check_metrics(results, attack, findings)
    count = len(attacks) if sample.count is None else min(sample.count, len(attacks))
    chosen = sorted(np.random.default_rng(sample.seed).choice(len(attacks), count, replace=False).tolist())
    exact = 0
    with empty_cache() as cache:
        for number in chosen:
            exact += _check_again(results, attacks[number], registry, cache, sample.data, findings)
    again = f"{count} scored again, {exact} of them on the same processor and versions"
    findings.checked.append(f"external attacks: {counted(len(attacks), 'artefact')}, {again}")


def _cell_of(results: Results, attack: ExternalAttack) -> CellRow:
    """Returns the row of an external attack, in the form of its cell."""
    return replace(results.by_id[attack.cell], cell=attack.id)


def _where(results: Results, attack: ExternalAttack) -> str:
    return str(results.store.folder / FOLDER / f"{attack.id}.json")


def _check_metrics(results: Results, attack: ExternalAttack, findings: Findings) -> None:
    """Compares the metrics of a record with those that its arrays give."""
    cell = _cell_of(results, attack)
    measures = {measure: results.metric(measure) for measure in results.plan.metrics}
    for name, value in compute_metric_values(measures, results.outcome(cell), cell.threat, cell.kind).items():
        stored = attack.record["metrics"].get(name)
        if stored is not None and stored != value:
            problem = f"it has {name} {stored['value']}, and its arrays give {value['value']}"
            findings.refuse(_where(results, attack), problem)


def _check_again(
    results: Results, attack: ExternalAttack, registry: Registry, cache: Cache, data: Path | None, findings: Findings
) -> bool:
    """Scores an artefact again and compares the outcome with the stored one.

    Returns:
        Whether the processor and the versions were the same, so that the comparison was exact. The result is False if
        the artefact could not be scored.
    """
    artefact = read_stored_artefact(results.store.folder, attack.id)
    try:
        score = score_in_folder(results, artefact, registry, cache, data)
    except UserError as error:
        findings.problems.append(f"an external attack is not confirmed: {error}")
        return False
    new = replace(results, external={attack.id: ExternalAttack({**attack.record, **score.content}, score.arrays)})
    exact, problem = compare_outcomes(results, _cell_of(results, attack), new)
    if problem:
        findings.refuse(_where(results, attack), f"scored again: {problem}")
    return exact
