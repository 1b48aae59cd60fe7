"""Tests that a run measures who is in the training data, clean and private."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.run.inline import run

from robench.api.errors import UserErrors
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.files import to_json
from robench.report.markdown import to_markdown
from robench.report.page import to_page
from robench.store.membership import measure_membership
from robench.tables.build import build_tables
from robench.tables.results import read_results
from robench.verify.findings import Findings
from robench.verify.stored import check_cells

SUITE = """
name: t
seeds: [0, 1]
datasets: [{name: synthetic, users: 400, items: 200, interactions_per_user: 20}]
split: {name: cold-users, test: 0.4, validation: 0.1}
models: [popularity, {name: ease, label: overfitted, weight_decay: 0.01}, mf]
defenses: [none, {name: dp-gram, eps_dp: 1, delta: 1e-3, clip: 10}]
attacks: [{name: miars, dimensions: 20, k: 20}, score-membership]
exclude: [{model: mf, seed: 1}]
metrics: [ndcg@10, rbo@10]
"""


def test_an_overfitted_model_tells_its_members_and_a_private_one_does_not(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    job = run(tmp_path / "t.yaml")
    users = {}
    for cell in job.cells:
        if cell.victim.model.label == "mf":
            assert cell.skip.startswith("mf learns a vector per user")
            continue
        record = job.store.read(cell.id)
        assert record["status"] == "ok", record["error"]
        assert ("membership" in record) == (cell.attack is not None)
        if cell.attack is None:
            continue
        assert (record["metrics"], cell.epsilon) == ({}, 0)
        arrays = job.store.arrays(record)
        numbers = {name: value for name, value in record["membership"].items() if name != "shadow_auroc"}
        assert numbers == measure_membership(arrays["membership_score"], arrays["is_member"].astype(bool))
        users.setdefault("tested", arrays["member_users"])
        np.testing.assert_array_equal(arrays["member_users"], users["tested"], "victims are tested on the same users")
    metrics = Registry.of(Host.discover()).metrics(["ndcg@10", "rbo@10"])
    tables = build_tables(job.store.folder, metrics)
    assert tables.leaderboard == []
    rows = {(row.key.model_label, row.key.defense_label, row.attack_label): row for row in tables.membership}
    assert len(rows) == 2 * 2 * 2
    worst = rows["overfitted", "none", "score-membership"]
    assert worst.auroc.low > 0.8
    assert worst.verdict == "told apart"
    assert worst.tpr.low > 0.1
    assert worst.seeds == 2
    for key in (("overfitted", "dp-gram"), ("popularity", "none"), ("popularity", "dp-gram")):
        for attack in ("miars", "score-membership"):
            row = rows[*key, attack]
            assert row.auroc.low < 0.5 < row.auroc.high, (key, attack, row.auroc)
            assert row.verdict == "not shown"
    clean = {(row.key.model_label, row.key.defense_label): row.values for row in tables.clean}
    for row in rows.values():
        assert row.clean == clean[row.key.model_label, row.key.defense_label][row.metric]
    assert len(json.loads(to_json(tables))["membership"]) == 8
    text = to_markdown(tables).partition("## Membership\n")[2].partition("\n## ")[0]
    assert "told apart" in text
    assert "| clean ndcg@10" in text
    assert "Membership" in to_page(tables)
    findings = Findings()
    check_cells(read_results(job.store.folder, metrics), findings)
    assert not findings.problems
    results = read_results(job.store.folder, metrics)
    cell = next(cell for cell in results.cells if "membership" in results.records.get(cell.cell, {}))
    forged = json.loads(json.dumps(results.records[cell.cell]))
    forged["membership"]["auroc"] = 0.5
    check_cells(replace(results, records={**results.records, cell.cell: forged}), findings)
    assert any("membership auroc 0.5" in str(problem) for problem in findings.problems)


OTHER = """
name: t
datasets: [{name: synthetic, users: 60, items: 30, interactions_per_user: 8}]
models: [popularity]
attacks: [{name: miars}]
metrics: [ndcg@10]
"""


def test_without_users_that_no_fit_sees_the_cells_are_skipped(tmp_path):
    (tmp_path / "t.yaml").write_text(OTHER)
    job = run(tmp_path / "t.yaml")
    assert {cell.skip for cell in job.cells} == {
        "",
        "miars needs users that no fit sees, which the split cold-users holds out",
    }


@pytest.mark.parametrize("epsilon", ["0.1", "[0, 0.1]"])
def test_an_attack_that_perturbs_nothing_has_no_epsilon(tmp_path, epsilon):
    (tmp_path / "t.yaml").write_text(OTHER.replace("{name: miars}", f"{{name: miars, epsilon: {epsilon}}}"))
    with pytest.raises(UserErrors, match="perturbs nothing"):
        run(tmp_path / "t.yaml")
