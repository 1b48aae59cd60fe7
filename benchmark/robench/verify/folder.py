"""Verifies a folder of results, for ``robench verify``."""

from __future__ import annotations

from pathlib import Path

from robench.api.errors import DataError, UserError, UserErrors
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.store.plan_file import read_plan
from robench.tables.build import make_tables
from robench.tables.results import read_results
from robench.verify.findings import Findings
from robench.verify.rerun import Sample, check_sample
from robench.verify.stored import check_archive, check_cells, check_plan, check_users
from robench.verify.tables import check_tables


def verify_folder(folder: Path, sample: Sample) -> Findings:
    """Verifies a folder of results, and measures a sample of its cells again.

    The check covers the hashes, the plan, the records, the tables and the sample. Nothing in the folder is changed. If
    one part has a problem, the other parts are still checked.

    Args:
        folder: the folder of results, which may be packed.
        sample: the cells to measure again.

    Raises:
        UserError: if the folder holds no results, if a file that all cells share is damaged, if the plan contradicts a
            record, if no plugin offers a metric of the plan, or if a record used another version of a metric.
    """
    host = Host.discover()
    registry = Registry.of(host)
    findings = Findings()
    plan = read_plan(folder)
    results = read_results(folder, registry.metrics(map(str, plan.metrics)))
    with findings.checking():
        check_archive(folder, plan, findings)
    with findings.checking():
        check_users(results.store, plan, findings)
    with findings.checking():
        check_plan(folder, registry, findings)
    with findings.checking():
        check_cells(results, findings)
    with findings.checking():
        check_tables(folder, make_tables(results), findings)
    try:
        with findings.checking():
            check_sample(results, sample, host, registry, findings)
    except UserError as error:
        errors = error.errors if isinstance(error, UserErrors) else (error,)
        about_data = any(isinstance(one, DataError) for one in errors)
        advice = "; --data FOLDER says where the relative paths of the suite start" if about_data else ""
        findings.problems.append(f"no cell could be measured again: {error}{advice}")
    return findings
