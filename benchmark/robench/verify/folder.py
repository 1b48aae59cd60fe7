"""Verifies a folder of results, for ``robench verify``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.store.archive import Archive
from robench.store.plan_file import read_plan
from robench.tables.build import Tables, make_tables
from robench.tables.results import Results, read_results
from robench.verify.aggregate import verify_aggregate
from robench.verify.data_folder import advise
from robench.verify.external import check_external
from robench.verify.findings import Findings
from robench.verify.rerun import Sample, check_sample
from robench.verify.stored import check_archive, check_cells, check_plan, check_users
from robench.verify.tables import check_tables


@dataclass(frozen=True, eq=False)
class Verification:
    """The outcome of a verification.

    Args:
        findings: the findings.
        results: the results of the folder.
        tables: the tables, computed from the arrays of the folder.
    """

    findings: Findings
    results: Results
    tables: Tables


def verify_folder(folder: Path, sample: Sample) -> Findings:
    """Verifies a folder of results and measures a sample of its cells again.

    If the folder was published as aggregates, only the part that needs no arrays of users is verified. The arguments
    and the errors are those of ``verify_results``.
    """
    if Archive.is_in(folder) and Archive(folder).is_aggregate:
        return verify_aggregate(folder, read_plan(folder), Registry.of(Host.discover()))
    return verify_results(folder, sample, Host.discover()).findings


def verify_results(folder: Path, sample: Sample, host: Host) -> Verification:
    """Verifies a folder of results and computes its tables from the arrays.

    The check covers the hashes, the plan, the records, the tables and the sample. Nothing in the folder is changed. If
    one part has a problem, the other parts are still checked.

    Args:
        folder: the folder of results, which may be packed.
        sample: the cells to measure again.
        host: the host with all plugins.

    Raises:
        UserError: if the folder holds no results, if a file that all cells share is damaged, if the plan contradicts a
            record, if no plugin offers a metric of the plan, or if a record used a different version of a metric.
    """
    registry = Registry.of(host)
    findings = Findings()
    plan = read_plan(folder)
    results = read_results(folder, registry.metrics(map(str, plan.metrics)))
    with findings.checking():
        check_archive(folder, plan, findings)
    with findings.checking():
        check_users(results.store, plan, findings)
    with findings.checking():
        planned = check_plan(folder, registry, findings)
    with findings.checking():
        check_cells(results, findings)
    with findings.checking():
        tables = make_tables(results)
        check_tables(folder, tables, findings)
    if not planned:
        return Verification(findings, results, tables)
    try:
        with findings.checking():
            check_sample(results, sample, host, registry, findings)
        with findings.checking():
            check_external(results, sample, registry, findings)
    except UserError as error:
        advice = advise(error, folder, registry)
        findings.problems.append(f"no cell could be measured again: {error}{advice}")
    return Verification(findings, results, tables)
