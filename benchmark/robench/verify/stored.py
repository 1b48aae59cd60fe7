"""Checks the stored files of a folder: plan, records, arrays and users.

If the folder is packed, the hashes in the manifest are checked too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robench.api.errors import UserError, counted
from robench.api.metric import Metric
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.report.files import DRAWERS, published_files
from robench.spec import CellRow
from robench.store.archive import ARRAYS, MANIFEST, RECORDS, Archive, hash_file
from robench.store.certificate import measure_certificate, read_voting
from robench.store.detection import measure_detection
from robench.store.external import external_files
from robench.store.folder import Store
from robench.store.membership import measure_membership
from robench.store.npz import hash_arrays
from robench.store.plan_file import PlanFile
from robench.store.record import compute_metric_values
from robench.store.seal import SEAL
from robench.suite.load import load_suite
from robench.tables.results import Results
from robench.verify.findings import Findings

UNPLANNED = ("data_sha256", "users_sha256", "data", SEAL)  # the entries of plan.json that do not follow from the suite


def check_plan(folder: Path, registry: Registry, findings: Findings) -> bool:
    """Compares plan.json with the plan that robench makes from suite.yaml.

    The entries of plan.json that describe the data are left out.

    Returns:
        Whether the suite can be planned on this machine.
    """
    where = str(folder / "plan.json")
    stored: Mapping[str, Any] = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    try:
        suite = load_suite(folder / "suite.yaml", registry)
        plan = make_plan(suite, registry).on_data(stored.get("data_sha256", {}).values())
    except UserError as error:
        findings.problems.append(f"the suite cannot be planned here, so no cell is measured again: {error}")
        return False
    expected = json.loads(json.dumps(plan.to_json()))
    stored = {name: part for name, part in stored.items() if name not in UNPLANNED}
    for name in sorted(expected.keys() | stored.keys()):
        if expected.get(name) != stored.get(name):
            findings.refuse(
                where, f"'{name}' is not what suite.yaml gives{_first(expected.get(name), stored.get(name))}"
            )
    findings.checked.append(f"plan: {counted(len(expected['cells']), 'cell')}, as suite.yaml gives them")
    return True


def _first(expected: object, stored: object) -> str:
    """Describes the first difference between two values of one entry in plan.json."""
    if not isinstance(expected, list) or not isinstance(stored, list):
        return f": {stored!r} instead of {expected!r}"[:200]
    if len(expected) != len(stored):
        return f": {len(stored)} entries instead of {len(expected)}"
    one, two = next((one, two) for one, two in zip(expected, stored, strict=True) if one != two)
    names = [name for name in one if not isinstance(two, dict) or one[name] != two.get(name)]
    return f": entry {one.get('cell', '')} differs in {', '.join(names)}" if isinstance(one, dict) else ""


def check_users(store: Store, plan: PlanFile, findings: Findings) -> None:
    """Compares users.npz with its hash in plan.json.

    If the plan has no such hash, a note says so.
    """
    where = str(store.folder / "users.npz")
    try:
        same = hash_arrays(store.users()) == plan.users_sha256
    except UserError as error:
        findings.problems.append(str(error))
        return
    if not plan.users_sha256:
        findings.notes.append(f"{where}: plan.json holds no hash of it")
    elif not same:
        findings.refuse(where, "it was changed after it was written: its hash is not that of plan.json")
    else:
        findings.checked.append("users: as plan.json hashes them")


def check_cells(results: Results, findings: Findings) -> None:
    """Computes metrics, detections and certificates of every measured cell again.

    Differences, damaged records and missing cells become problems.
    """
    for error in results.damaged.values():
        findings.problems.append(str(error))
    measured = [cell for cell in results.cells if results.ok(cell)]
    for cell in measured:
        try:
            _check_metrics(results, cell, findings)
            _check_detection(results, cell, findings)
            _check_certificate(results, cell, findings)
            _check_membership(results, cell, findings)
        except UserError as error:
            findings.problems.append(str(error))
    missing = sum(results.status(cell) == "missing" and cell.cell not in results.damaged for cell in results.cells)
    if missing:
        findings.refuse(str(results.store.folder), f"{counted(missing, 'planned cell')} missing")
    failed = sum(results.status(cell) == "failed" for cell in results.cells)
    more = f"; {counted(failed, 'failed cell')}" if failed else ""
    findings.checked.append(f"records: {counted(len(measured), 'measured cell')}, metrics recomputed from arrays{more}")


def _check_metrics(results: Results, cell: CellRow, findings: Findings) -> None:
    record = results.record(cell)
    metrics: dict[Any, Metric] = {measure: results.metric(measure) for measure in results.plan.metrics}
    expected = compute_metric_values(metrics, results.outcome(cell), cell.threat, cell.kind)
    for name, value in expected.items():
        stored = record["metrics"].get(name)
        if stored is not None and stored != value:
            problem = f"cell {cell.cell} has {name} {stored['value']}, and its arrays give {value['value']}"
            findings.refuse(results.store.where(record), problem)


def _check_detection(results: Results, cell: CellRow, findings: Findings) -> None:
    """Compares the numbers of a detection with those that its arrays give."""
    record = results.record(cell)
    stored = {name: value for name, value in record.get("detection", {}).items() if name != "known_attack"}
    if not stored:
        return
    arrays, fakes = results.arrays(cell), int(record["achieved"].get("fake_users", 0))
    flagged = arrays["flagged"]
    expected = measure_detection(arrays["suspicion"], flagged.astype(np.int8), len(flagged) - fakes)
    for name, value in expected.items():
        if stored.get(name) != value:
            problem = f"cell {cell.cell} has the detection {name} {stored.get(name)}, and its arrays give {value}"
            findings.refuse(results.store.where(record), problem)


def _check_certificate(results: Results, cell: CellRow, findings: Findings) -> None:
    """Compares the numbers of a certificate with those that the stored votes give."""
    record = results.record(cell)
    stored = record.get("certificate", {})
    if not stored:
        return
    arrays = results.arrays(cell)
    users, known = arrays["users"].size, results.known.get("/".join(cell.key.place), {})
    voting = read_voting(stored)
    if "title" in known:  # the size of the catalogue decides on the confidence of each interval
        voting = replace(voting, pairs=users * len(known["title"]))
    expected = measure_certificate(arrays, voting)
    for name, value in expected.items():
        if stored.get(name) != value:
            problem = f"cell {cell.cell} has the certificate {name} {stored.get(name)}, and its votes give {value}"
            findings.refuse(results.store.where(record), problem)


def _check_membership(results: Results, cell: CellRow, findings: Findings) -> None:
    """Compares the numbers of a membership attack with those of its scores."""
    record = results.record(cell)
    stored = record.get("membership", {})
    if not stored:
        return
    arrays = results.arrays(cell)
    expected = measure_membership(arrays["membership_score"], arrays["is_member"].astype(bool))
    for name, value in expected.items():
        if stored.get(name) != value:
            problem = f"cell {cell.cell} has the membership {name} {stored.get(name)}, and its scores give {value}"
            findings.refuse(results.store.where(record), problem)


def check_archive(folder: Path, plan: PlanFile, findings: Findings) -> None:
    """Compares the files of a packed folder with the hashes in its manifest.

    It is also a problem if the manifest names files or packages that do not belong to a published form, or if a cell
    was measured after the packing.
    """
    if not Archive.is_in(folder):
        return
    archive = Archive(folder)
    published = {*published_files(plan), *external_files(folder), RECORDS}
    if not archive.is_aggregate:
        published.add(ARRAYS)
    if {*archive.manifest["files"]} != published or {*archive.manifest["versions"]} != {*DRAWERS}:
        findings.refuse(str(folder / MANIFEST), "it does not name the files and packages of a published form")
    for name, expected in archive.manifest["files"].items():
        path = folder / name
        if not path.is_file():
            findings.refuse(str(path), "the file is missing, and MANIFEST.json names it")
        elif hash_file(path) != expected:
            findings.refuse(str(path), "it was changed after the packing: its sha256 is not that of MANIFEST.json")
    loose = {*Store(folder).loose()} & {cell.cell for cell in plan.cells}
    if loose:
        findings.refuse(str(folder / "cells"), f"{counted(len(loose), 'cell')} measured after the packing; pack again")
    findings.checked.append(
        f"manifest: {counted(len(archive.manifest['files']), 'file')}, root {archive.manifest['root']}"
    )
