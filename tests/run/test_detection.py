"""Tests that a run stores, publishes and tabulates the numbers of a detection."""

import json
from io import StringIO

import numpy as np
from rich.console import Console
from tests.run.inline import SMALL, run

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.files import to_json
from robench.report.page import to_page
from robench.report.record import show_cell
from robench.store.detection import measure_detection
from robench.tables.build import build_tables

SUITE = f"""
name: t
seeds: [0, 1]
{SMALL}
models: [popularity, {{name: item-knn}}]
defenses: [none, near-duplicate, {{name: degree-sad, trained_on: [random]}}]
attacks: [{{name: random-profiles, epsilon: 0.1}}, {{name: bandwagon, epsilon: 0.1, popular: 1.0}}]
targets: {{count: 2}}
metrics: [ndcg@10, t-hr@10]
"""


def test_a_run_measures_detectors_clean_and_poisoned(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    job = run(tmp_path / "t.yaml")
    for cell in job.cells:
        record = job.store.read(cell.id)
        assert record["status"] == "ok", record["error"]
        detected = cell.victim.defense.name != "none"
        assert record["protocol_version"] == (2 if detected else 1)
        assert ("detection" in record) == detected
        if not detected:
            continue
        arrays, poison = job.store.arrays(record), cell.victim.poison
        fakes = 0 if poison is None else 4
        numbers = dict(record["detection"])
        known = numbers.pop("known_attack", None)
        assert numbers == measure_detection(arrays["suspicion"], arrays["flagged"], 40)
        assert (numbers["real_users"], numbers["fake_users"], len(arrays["flagged"])) == (40, fakes, 40 + fakes)
        tree = cell.victim.defense.name == "degree-sad"
        assert known == (None if poison is None else int(tree and poison.attack.name == "random-profiles"))
        if poison is not None and poison.attack.name == "bandwagon" and not tree:
            assert (arrays["suspicion"][40:] == 1).all(), "the profiles are all the same"
    tables = build_tables(job.store.folder, Registry.of(Host.discover()).metrics(["ndcg@10", "t-hr@10"]))
    assert {(row.defense_label, row.attack_label, row.known) for row in tables.detection} == {
        (label, attack, (label, attack) == ("degree-sad", "random-profiles"))
        for label in ("near-duplicate", "degree-sad")
        for attack in ("none", "random-profiles", "bandwagon")
    }
    told = json.loads(to_json(tables))
    assert len(told["detection"]) == 6
    assert all(np.isfinite(row["difference"][0]) for row in told["training_defenses"])
    page = to_page(tables)
    assert "Detection" in page
    assert "ROC of each detector" in page
    assert "near-duplicate, bandwagon, ε = 0.1: AUROC" in page


ALARMS = f"""
name: t
seeds: [0]
{SMALL}
models: [popularity]
defenses: [none, {{name: near-duplicate, quantile: 0.501}}]
attacks: [{{name: random-profiles, epsilon: 0.1}}]
metrics: [ndcg@10]
"""


def test_real_users_whom_a_detector_drops_are_tested_with_their_whole_history(tmp_path):
    (tmp_path / "t.yaml").write_text(ALARMS)
    job = run(tmp_path / "t.yaml")
    arrays = {cell.victim.defense.name: job.store.arrays(job.store.read(cell.id)) for cell in job.cells}
    assert arrays["near-duplicate"]["flagged"][:40].sum() > 5
    for name in ("users", "candidates"):  # a user's candidates are the items outside the history
        np.testing.assert_array_equal(arrays["near-duplicate"][name], arrays["none"][name])


EVASION = f"""
name: t
seeds: [0, 1]
{SMALL}
models: [popularity, {{name: item-knn}}]
defenses: [none, near-duplicate]
attacks:
  - {{name: bandwagon, epsilon: 0.1, evade: EVADE, suspicion_requests: 12, knowledge: {{model: MODEL}}}}
targets: {{count: 2}}
metrics: [ndcg@10, t-percentile]
ranking: [{{surface: interactions, goal: promote, metric: t-percentile, epsilon: 0.1}}]
"""


def test_a_filter_counts_as_attacked_if_an_attack_was_made_through_it(tmp_path):
    for evades in (True, False):
        suite = tmp_path / str(evades) / "t.yaml"
        suite.parent.mkdir()
        words = ("true", "surrogate") if evades else ("false", "none")
        suite.write_text(EVASION.replace("EVADE", words[0]).replace("MODEL", words[1]))
        job = run(suite)
        for cell in job.cells:
            record = job.store.read(cell.id)
            assert record["status"] == "ok", record["error"]
            asked = evades and cell.victim.poison is not None and cell.victim.defense.name == "near-duplicate"
            assert (record["achieved"].get("filter_choices", 0) >= 2) == asked
            assert (2 <= record["achieved"].get("suspicion_requests", 0) <= 12) == asked
            if asked:
                console = Console(width=200, record=True, file=StringIO())
                show_cell(job.store.folder / "cells" / f"{cell.id}.json", None, console)
                assert "suspicion_requests" in console.export_text()
        tables = build_tables(job.store.folder, Registry.of(Host.discover()).metrics(["ndcg@10", "t-percentile"]))
        rows = {row.key.defense_label: row for row in tables.leaderboard[0].rows if row.key.model != "popularity"}
        assert ("filter not attacked" in rows["near-duplicate"].flags) != evades
