"""Tests the verification of external attacks without a victim."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.fakes import EMBEDDING, METRICS, USERS, World, ranks
from tests.store.external import make_artefact, outcome, write

from robench.api.errors import UserError
from robench.tables.results import read_results
from robench.verify import external
from robench.verify.external import check_external, score_in_folder
from robench.verify.findings import Findings
from robench.verify.rerun import Sample


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    world.cell(ranks(150, 99))
    world.attacked = world.cell(ranks(50, 99), attack="pgd", epsilon=0.05)
    world.facts()
    world.build()
    return world


def artefact_of(world):
    return make_artefact(world.attacked["cell"], world.attacked["victim"])


@pytest.mark.parametrize(("value", "problems"), [(0.0, 0), (-0.5, 1)])
def test_metrics_that_the_arrays_do_not_give_are_found(world, value, problems):
    write(world.store.folder, artefact_of(world), outcome(rank=99, users=USERS), value)
    results, findings = read_results(world.store.folder, METRICS), Findings()
    assert len(results.external) == 1
    check_external(results, Sample(0), None, findings)
    assert ["its arrays give 0.0" in problem for problem in findings.problems] == [True] * problems


def test_a_folder_without_users_is_read_like_one_without_external_attacks(world):
    write(world.store.folder, artefact_of(world), outcome(rank=99, users=USERS))
    (world.store.folder / "users.npz").unlink()
    (attack,) = read_results(world.store.folder, METRICS).external.values()
    assert attack.cell == world.attacked["cell"]


@pytest.mark.parametrize("measured", ["of the data", "other data"])
def test_a_score_on_other_data_is_refused(world, monkeypatch, measured):
    score = SimpleNamespace(content={"provenance": {"data_sha256": measured}})
    for name in ("load_stored_suite", "make_plan"):
        monkeypatch.setattr(external, name, lambda *_: None)
    monkeypatch.setattr(external, "score_artefact", lambda *_: score)
    results = read_results(world.store.folder, METRICS)
    results = replace(results, plan=replace(results.plan, data_sha256={"d/s": "of the data"}))
    if measured == "of the data":
        assert score_in_folder(results, artefact_of(world), None, None, None) is score
    else:
        with pytest.raises(UserError, match="the data here are different"):
            score_in_folder(results, artefact_of(world), None, None, None)
