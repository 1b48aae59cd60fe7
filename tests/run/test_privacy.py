"""Tests that a run stores, tabulates and shows the guarantees of private fits."""

import json
from io import StringIO

import numpy as np
from rich.console import Console
from tests.run.inline import SMALL, run

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.files import to_json
from robench.report.markdown import to_markdown
from robench.report.numbers import format_interval
from robench.report.record import show_cell
from robench.tables.build import build_tables
from robench_plugins.defenses.privacy.dp_gram import COVERS

SUITE = f"""
name: t
seeds: [0, 1]
{SMALL}
models: [popularity, ease, {{name: ease, label: fixed, weight_decay: 200}}, user-knn]
defenses:
  - none
  - {{name: dp-gram, grid: {{eps_dp: [3, inf]}}, delta: 1e-3, clip: 4}}
metrics: [ndcg@10]
"""


def test_a_run_records_the_guarantee_and_the_tables_say_what_it_does_not_cover(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    job = run(tmp_path / "t.yaml")
    fitted = {}
    for cell in job.cells:
        model, defense = cell.victim.model.label, cell.victim.defense
        if cell.skip:
            assert cell.skip.startswith("user-knn cannot learn from an item-item matrix alone, so dp-gram")
            continue
        record = job.store.read(cell.id)
        assert record["status"] == "ok", record["error"]
        assert "privacy" not in record["fit"]
        if defense.name == "none":
            assert "privacy" not in record
            continue
        fitted[model, defense.config["eps_dp"], cell.victim.seed] = record
        finite = defense.config["eps_dp"] == 3
        chosen = ["weight_decay, which validation chose from the data themselves"] if model == "ease" else []
        assert record["privacy"] == {
            "eps_dp": 3.0 if finite else "inf",
            "delta": 1e-3 if finite else 0.0,
            "unit": "user",
            "covers": COVERS if finite else "nothing",
            "not_covered": chosen,
        }
    assert len(fitted) == 3 * 2 * 2
    lists = [job.store.arrays(fitted["fixed", 3, seed])["top"] for seed in (0, 1)]
    assert not np.array_equal(*lists), "two seeds draw other noise"
    tables = build_tables(job.store.folder, Registry.of(Host.discover()).metrics(["ndcg@10"]))
    rows = {(row["model_label"], row["eps_dp"]): row for row in json.loads(to_json(tables))["privacy"]}
    assert len(rows) == 6
    assert rows["fixed", 3.0]["not_covered"] == []
    assert rows["ease", 3.0]["not_covered"]
    assert all(row["seeds"] == 2 for row in rows.values())
    text = to_markdown(tables).partition("## Differential privacy\n")[2].partition("\n## ")[0]
    assert "weight_decay, which validation chose from the data themselves" in text
    assert "these files protect no user" in text
    assert "the losses of several models add up" in text
    assert f"{format_interval(tables.privacy[0].clean)} |" in text
    compared = {(row.key.model_label, row.key.defense_label) for row in tables.training_defences}
    assert {model for model, _ in compared} == {"popularity", "ease", "fixed"}
    output = StringIO()
    shown = job.store.cells / f"{fitted['ease', 3, 0]['id']}.json"
    show_cell(shown, None, Console(file=output, width=200))
    assert "privacy: eps_dp" in output.getvalue()
