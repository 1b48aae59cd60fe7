"""Tests that a run reads vectors of items, attacks them and defends a model."""

import numpy as np
import pytest
from tests.run.inline import run

from robench.api.errors import UserErrors
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.markdown import to_markdown
from robench.report.page import to_page
from robench.tables.build import build_tables

SUITE = """
name: t
seeds: [0]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 12, vector_length: 5}]
targets: {count: 3, sets: 1}
models: [mf, {name: vbpr, epochs: 4}]
defenses: [none, amr]
attacks:
  - {name: pgd, surface: features, steps: 3, epsilon: [0, 0.5]}
  - {name: fgsm, surface: features, goal: promote, epsilon: 0.5}
metrics: [ndcg@10, t-hr@10]
"""
OWN = """
name: t
datasets: [{name: csv, path: log.csv, item_vectors: vectors.npy}]
models: [{name: vbpr, epochs: 1}]
metrics: [ndcg@10]
"""


def test_vectors_are_attacked_and_defended(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    job = run(tmp_path / "t.yaml")
    cells = {(c.victim.model.label, c.victim.defense.name, c.attack and c.attack.name, c.epsilon): c for c in job.cells}
    assert cells["mf", "none", "pgd", 0.5].skip == "mf has no surface 'features' for pgd"
    assert cells["mf", "amr", None, 0.0].skip == "mf reads no vectors of items, so amr does not fit"
    for key, cell in cells.items():
        if cell.skip:
            continue
        record = job.store.read(cell.id)
        assert record["status"] == "ok", record["error"]
        if key[2:] == ("pgd", 0.5):
            assert 0 < record["achieved"]["epsilon"] <= 0.5 * (1 + 1e-5)
            assert record["checks"]["table_slope_own"] < 0.1
        if key[1] == "amr" and key[2] is None:
            assert record["fit"]["train_lambda_amr"] == 1
    tables = build_tables(job.store.folder, Registry.of(Host.discover()).metrics(["ndcg@10", "t-hr@10"]))
    assert {table.threat.surface for table in tables.leaderboard} == {"features"}
    assert "shifts the vectors of the items to promote" in to_page(tables)
    assert "vbpr" in to_markdown(tables)
    assert "40 vectors" in to_markdown(tables)


def write_own(folder, vectors):
    rows = [f"u{u},{i},{t}" for u in range(12) for t, i in enumerate(np.random.default_rng(u).permutation(8)[:5])]
    (folder / "log.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    np.save(folder / "vectors.npy", vectors)
    (folder / "vectors.npy.txt").write_text("".join(f"{item}\n" for item in range(len(vectors))))
    (folder / "t.yaml").write_text(OWN)


def test_other_vectors_are_other_data(tmp_path):
    for seed in (0, 1):
        write_own(tmp_path, np.random.default_rng(seed).normal(size=(8, 3)))
        assert run(tmp_path / "t.yaml").summary.measured == 1
        assert run(tmp_path / "t.yaml").summary.measured == 0


def test_a_wrong_file_is_one_line(tmp_path):
    write_own(tmp_path, np.full((8, 3), np.nan))
    with pytest.raises(UserErrors, match=r"vectors.npy: the vector of item '0' is not finite") as error:
        run(tmp_path / "t.yaml")
    assert "\n" not in str(error.value)


def test_a_model_that_reads_vectors_needs_them(tmp_path):
    write_own(tmp_path, np.ones((8, 3)))
    (tmp_path / "t.yaml").write_text(OWN.replace(", item_vectors: vectors.npy", ""))
    with pytest.raises(UserErrors, match="vbpr reads vectors of items, and this data set has none"):
        run(tmp_path / "t.yaml")
