"""Tests that a run stores, verifies and shows the certificates of votes."""

import json

import numpy as np
import pytest
from tests.run.inline import SMALL, run

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.files import to_json
from robench.report.markdown import to_markdown
from robench.store.certificate import measure_certificate, read_voting
from robench.tables.build import build_tables
from robench.tables.results import read_results
from robench.verify.findings import Findings
from robench.verify.stored import check_cells

SUITE = f"""
name: t
seeds: [0]
{SMALL}
models: [{{name: bagging, base: item-knn, models: 200, combine: votes, sample_size: 4}}]
defenses: [none, near-duplicate]
attacks: [{{name: random-profiles, epsilon: 0.1}}]
targets: {{count: 2}}
metrics: [ndcg@10, t-hr@10]
"""


def test_only_clean_undefended_votes_have_a_certificate_and_verify_recomputes_it(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    job = run(tmp_path / "t.yaml")
    certified = []
    for cell in job.cells:
        record = job.store.read(cell.id)
        assert record["status"] == "ok", record["error"]
        arrays = job.store.arrays(record)
        plain = cell.victim.poison is None and cell.victim.defense.name == "none"
        assert ("certificate" in record) == plain == ("item_votes" in arrays)
        if "certificate" in record:
            numbers = record["certificate"]
            certified.append(numbers)
            assert numbers == measure_certificate(arrays, read_voting(numbers))
            assert (numbers["users"], numbers["sample"], numbers["models"]) == (40, 4, 200)
            assert 0 < numbers["recall_1"] <= numbers["recall_0"] < numbers["recall"]
    assert len(certified) == 1
    metrics = Registry.of(Host.discover()).metrics(["ndcg@10", "t-hr@10"])
    tables = build_tables(job.store.folder, metrics)
    rows = {row["metric"]: row for row in json.loads(to_json(tables))["certificates"]}
    assert set(rows) == {"precision@10", "recall@10", "f1@10"}
    for fakes in range(6):
        mean = np.mean([numbers[f"f1_{fakes}"] for numbers in certified])
        assert rows["f1@10"]["certified"][fakes] == pytest.approx(mean, rel=1e-9)
    text = to_markdown(tables).partition("## Certified against fake users\n")[2].partition("\n## ")[0]
    assert "4 of 40" in text
    results = read_results(job.store.folder, metrics)
    findings = Findings()
    check_cells(results, findings)
    assert not findings.problems
    (cell, *_) = (cell for cell in results.cells if results.record(cell).get("certificate"))
    for name in ("f1_3", "pairs"):
        changed = results.record(cell)["certificate"]
        before = changed[name]
        changed[name] = before + 1
        findings = Findings()
        check_cells(results, findings)
        changed[name] = before
        assert [f"the certificate {name} " in problem for problem in findings.problems] == [True]
