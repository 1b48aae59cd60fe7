"""Verifies a folder that was published without the arrays of users."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from robench.api.errors import counted
from robench.host.registry import Registry
from robench.store.archive import Archive
from robench.store.plan_file import PlanFile
from robench.verify.findings import Findings
from robench.verify.stored import check_archive, check_plan

PRECISION = 1e-9  # cells.csv has 10 significant digits
# What needs the arrays of users, as notes of a verification
WITHHELD = (
    "the values of the cells, because the ranks and lists of users are withheld",
    "intervals, p-values, verdicts, ranks and flags, because they are computed from users",
    "leaderboard.csv, leaderboard.json, leaderboard.md, timings.csv and index.html: only their hashes",
    "cells measured again: there are no stored users to compare with",
)


def verify_aggregate(folder: Path, plan: PlanFile, registry: Registry) -> Findings:
    """Verifies what can be verified without the arrays of users.

    The check covers the hashes, the plan, the records and the values of cells.csv, which must be those of the records.
    Notes name everything else.

    Args:
        folder: the published folder.
        plan: its plan.
        registry: the plugins, of which only metrics are used.

    Raises:
        UserError: if the manifest is damaged.
    """
    findings = Findings(limits=" in part, without the arrays of users")
    with findings.checking():
        check_archive(folder, plan, findings)
    with findings.checking():
        check_plan(folder, registry, findings)
    with findings.checking():
        _check_values(folder, plan, findings)
    findings.notes += WITHHELD
    return findings


def _check_values(folder: Path, plan: PlanFile, findings: Findings) -> None:
    """Compares the values of cells.csv with those of the records.

    A value of one target set has no value in the record of a clean cell, so it is left out.
    """
    archive = Archive(folder)
    planned = {cell.cell for cell in plan.cells}
    records = {cell: record for cell in archive.cells if (record := archive.read(cell)) is not None}
    path = folder / "cells.csv"
    if others := sorted(records.keys() - planned):
        findings.refuse(str(folder), f"{counted(len(others), 'record')} of no planned cell, such as {others[0]}")
    compared = set()
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            record = records.get(row["cell"], {})
            stored = record.get("metrics", {}).get(row["metric"])
            if row["status"] != "ok" or stored is None:
                continue
            value, shown = stored["value"], row["value"]
            compared.add((row["cell"], row["metric"]))
            if (value is None) != (not shown) or (shown and not math.isclose(float(shown), value, rel_tol=PRECISION)):
                findings.refuse(f"{path}:{number}", f"{row['metric']} is {shown}, and the record has {value}")
    lacking = {(cell, metric) for cell, record in records.items() for metric in record.get("metrics", {})} - compared
    if lacking:
        findings.refuse(str(path), f"{counted(len(lacking), 'value')} of the records missing")
    findings.checked.append(f"records: {counted(len(records), 'cell')}, with the values of cells.csv")
