"""Measures a sample of cells again and compares them with the stored cells.

The data is prepared again, and the fits and the attacks are repeated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from robench.api.codec import encode
from robench.api.errors import counted
from robench.files.cache import Cache
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.runner import Options, Runner
from robench.spec import CellRow
from robench.store.folder import Store
from robench.store.npz import Arrays
from robench.store.record import Record
from robench.tables.results import Results, read_results
from robench.verify.data_folder import load_stored_suite
from robench.verify.findings import Findings

# the fields of the provenance: if two records agree in all of them, their values must be equal bit for bit
VERSIONS = ("robench", "plugins", "python", "torch", "numpy", "platform", "processor", "device", "threads", "code")
ERRORS = 4.0  # the most standard errors by which a metric may differ on another machine


@dataclass(frozen=True)
class Sample:
    """A sample of cells to measure again, and how to measure them.

    Args:
        count: the number of cells, or None for all.
        seed: the seed of the draw.
        workers: the number of worker processes, or None for one per core.
        data: the folder from which the suite's relative paths start, or None to look for it.
    """

    count: int | None
    seed: int = 0
    workers: int | None = None
    data: Path | None = None


def check_sample(results: Results, sample: Sample, host: Host, registry: Registry, findings: Findings) -> None:
    """Measures cells again and compares them with the stored cells.

    The new measurement starts with an empty cache. Cells of models that use a service are never measured again. The
    service may answer differently, and nobody should have to trust its address.

    If the machine, the device, the threads, the versions and the code are the same, every value and every array must be
    equal bit for bit. Otherwise, the mean difference of every metric over the users must be within four standard
    errors. A cell that is stored as failed must fail again.
    """
    measured = choose_measured(results, registry)
    if left := len(_measured(results)) - len(measured):
        findings.notes.append(f"not measured again: {counted(left, 'cell')} of models that use a service")
    count = len(measured) if sample.count is None else min(sample.count, len(measured))
    findings.limits = f", {count} of {counted(len(measured), 'cell')} measured again"
    if not count:
        return
    chosen = np.random.default_rng(sample.seed).choice(len(measured), count, replace=False)
    rows = [measured[number] for number in sorted(chosen.tolist())]
    with TemporaryDirectory(prefix="robench-verify-") as place:
        again = _measure(results.store.folder, [row.cell for row in rows], sample, Path(place), host, registry)
        _check_data(results, again, findings)
        new = read_results(again.folder, results.metrics, again)
        exact = sum(_check_cell(results, row, new, findings) for row in rows)
    if exact < count:
        findings.limits += f", {count - exact} of them compared within the noise of users only"
    alike = f"{exact} of them on the same processor and versions"
    findings.checked.append(f"measured again: {counted(count, 'cell')} (seed {sample.seed}), {alike}")


def choose_measured(results: Results, registry: Registry) -> list[CellRow]:
    """Returns the cells from which a sample is drawn.

    These cells were measured, or they failed. Their models use no service.
    """
    names = {cell.key.model for cell in _measured(results)}
    served = {name for name in names if registry.class_of("model", name).uses_service()}
    return [cell for cell in _measured(results) if cell.key.model not in served]


def _measured(results: Results) -> list[CellRow]:
    return [cell for cell in results.cells if results.status(cell) in ("ok", "failed")]


def _measure(folder: Path, ids: Sequence[str], sample: Sample, place: Path, host: Host, registry: Registry) -> Store:
    """Measures cells of a suite in an empty folder and returns the new store."""
    suite = load_stored_suite(folder, sample.data, registry)
    runner = Runner(suite, make_plan(suite, registry), host, registry, Options(place / "results", sample.workers))
    runner.cache = Cache(place / "cache")
    runner.cells = [cell for cell in runner.cells if cell.id in ids]
    runner.run()
    return runner.store


def _check_data(results: Results, again: Store, findings: Findings) -> None:
    """Compares the prepared data and users.npz of the stored and the new run.

    The function compares the digests and the summaries of the data, and every array of users.npz. If a digest differs,
    nothing else is compared.
    """
    plan = json.loads((again.folder / "plan.json").read_text(encoding="utf-8"))
    for name, expected in results.plan.data_sha256.items():
        if plan["data_sha256"].get(name) != expected:
            findings.refuse(str(results.store.folder / "plan.json"), f"{name}: the data here are different")
            return
    _check_summaries(results, plan["data"], findings)
    stored, made = results.store.users(), again.users()
    different = sorted(name for name in stored.keys() | made.keys() if not _same(stored.get(name), made.get(name)))
    if different:
        findings.refuse(str(results.store.folder), f"users.npz is not what the data give: {', '.join(different)}")


def _check_summaries(results: Results, made: Mapping[str, Any], findings: Findings) -> None:
    """Compares the summaries of the data in the stored plan and in the new plan.

    Plans of earlier versions of robench have no summaries. Different notes are not a problem, because another version
    of robench may word them differently.
    """
    for name, summary in results.plan.data.items():
        stored, new = encode(summary), made.get(name, {})
        different = sorted(field for field in stored.keys() | new.keys() if stored.get(field) != new.get(field))
        if wrong := [field for field in different if field != "notes"]:
            problem = f"the summary of {name} is not what the data give: {', '.join(wrong)}"
            findings.refuse(str(results.store.folder / "plan.json"), problem)
        elif different:
            findings.notes.append(f"the notes on {name}: their words differ here")
    for name in made.keys() - results.plan.data.keys():
        findings.notes.append(f"the data of {name}: plan.json holds no summary of them")


def _check_cell(results: Results, row: CellRow, again: Results, findings: Findings) -> bool:
    """Compares one cell and returns whether the comparison was exact.

    The result is True for a cell that is stored as failed, and False if only the new measurement failed.
    """
    stored, made = results.record(row), again.records.get(row.cell)
    where = results.store.where(stored)
    if stored["status"] == "failed":
        if made is not None and made["status"] == "ok":
            findings.refuse(where, f"cell {row.cell} is stored as failed, and can be measured")
        return True
    if made is None or made["status"] != "ok":
        error = (made or {}).get("error") or {}
        findings.refuse(where, f"cell {row.cell} fails when it is measured again: {error.get('message', 'no record')}")
        return False
    exact, problem = compare_outcomes(results, row, again)
    if problem:
        findings.refuse(where, f"cell {row.cell} measured again: {problem}")
    return exact


def compare_outcomes(results: Results, row: CellRow, again: Results) -> tuple[bool, str]:
    """Compares two measurements of a cell or of an external attack.

    Args:
        results: the results with the stored measurement.
        row: the cell, or the row of an external attack.
        again: the results with the new measurement.

    Returns:
        Whether the comparison was exact, and a description of the first difference, or an empty string. It is exact if
        both measurements have the same entries ``VERSIONS`` in their provenance.
    """
    stored, made = results.record(row), again.record(row)
    exact = all(stored["provenance"].get(name) == made["provenance"].get(name) for name in VERSIONS)
    problem = _difference(stored, made, results.arrays(row), again.arrays(row)) if exact else ""
    return exact, problem or ("" if exact else _distance(results, row, again))


def _difference(stored: Record, made: Record, arrays: Arrays, other: Arrays) -> str:
    """Describes the first difference between two measurements of a cell.

    The result is empty if there is no difference.
    """
    for name in ("metrics", "achieved", "diagnostics", "checks", "members", "titles"):
        one, two = _untimed(stored.get(name)), _untimed(made.get(name))
        if one != two:
            return f"{name} are {two}, not {one}"[:300]
    different = sorted(name for name in arrays.keys() | other.keys() if not _same(arrays.get(name), other.get(name)))
    return f"other arrays: {', '.join(different)}" if different else ""


def _untimed(value: Any) -> Any:
    return {name: part for name, part in value.items() if name != "seconds"} if isinstance(value, Mapping) else value


def _distance(results: Results, row: CellRow, again: Results) -> str:
    """Describes a metric that differs too much, or returns an empty string.

    The mean difference over the users is accepted if it is at most 1e-6, or at most four of its standard errors. Both
    runs must have values for the same users.
    """
    for measure in results.plan.metrics:
        old, new = results.per_user(row, measure), again.per_user(row, measure)
        if old is None or new is None:
            continue
        if old.shape != new.shape or (np.isnan(old) != np.isnan(new)).any():
            return f"{measure} has values of other users"
        change = (new - old)[~np.isnan(old)]
        if not len(change):
            continue
        most = max(ERRORS * float(np.std(change)) / math.sqrt(len(change)), 1e-6)
        if abs(float(change.mean())) > most:
            return f"{measure} differs by {change.mean():+.4f}, more than {most:.4f}"
    return ""


def _same(one: Any, two: Any) -> bool:
    """Returns whether two arrays have the same type, shape and bytes.

    Two missing arrays (None) count as the same.
    """
    if one is None or two is None:
        return one is two
    return bool(one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes())
