"""Tests the code digests, plugins, usage and errors in a victim's records."""

import runpy
import sys

import pytest
from tests.run.inline import SMALL, records, run

from robench.run import worker
from robench.store import provenance

OTHERS = """
from robench.api import EmbeddingAttack, hookimpl
from robench.api.usage import count_usage
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.models.mf import MatrixFactorization

class Parade(Bandwagon):
    pass

class Idle(EmbeddingAttack):
    def perturb(self, oracle, ball, rng):
        yield oracle.zero()

class Silent(MatrixFactorization):
    def state(self):
        self.fitted = True
        return super().state()

    def scores(self, users, history):
        if hasattr(self, "fitted"):  # the model can be fitted but not measured
            raise RuntimeError("no scores today")
        return super().scores(users, history)

class Curious(EmbeddingAttack):
    def perturb(self, oracle, ball, rng):
        count_usage(prompts=1)
        yield oracle.zero()

class Reader(MatrixFactorization):
    def initialise(self, data, rng):
        count_usage(texts=3)
        super().initialise(data, rng)

    def score_from(self, batch, e):
        count_usage(tokens=5)
        return super().score_from(batch, e)

@hookimpl
def robench_attacks():
    return {"idle": Idle, "curious": Curious, "parade": Parade}

@hookimpl
def robench_models():
    return {"silent": Silent, "reader": Reader}
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """Returns a function that writes a suite and returns the path of the suite.

    The folder also holds a third-party module.
    """
    (tmp_path / "others.py").write_text(OTHERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ROBENCH_PLUGINS", "others")
    monkeypatch.delitem(sys.modules, "others", raising=False)

    def write(text):
        path = tmp_path / "t.yaml"
        path.write_text(f"name: t\n{SMALL}{text}")
        return path

    return write


def test_a_record_lists_the_code_of_its_own_cell_alone(suite):
    attacks = "attacks: [{name: idle, epsilon: 0.1}, {name: fgsm, epsilon: 0.1}]\n"
    found = records(run(suite(f"models: [{{name: mf, factors: 4, epochs: 1}}]\n{attacks}")))
    assert {name: record["status"] for name, record in found.items()} == dict.fromkeys(("clean", "idle", "fgsm"), "ok")
    listed = {name: any("others" in key for key in record["provenance"]["code"]) for name, record in found.items()}
    assert listed == {"clean": False, "idle": True, "fgsm": False}


def test_a_record_names_the_plugins_of_its_own_cell_alone(suite):
    attacks = "attacks: [{name: parade, epsilon: 0.1}, {name: fgsm, epsilon: 0.1}]\ntargets: {count: 1}\n"
    job = run(suite(f"models: [{{name: mf, factors: 4, epochs: 1}}]\n{attacks}"))
    for cell in job.cells:
        named = set(job.store.read(cell.id)["provenance"]["plugins"])
        others = set() if cell.victim.poison is None else {"others:ROBENCH_PLUGINS"}
        assert named == {"robench:builtin"} | others, cell.victim.poison
    assert {cell.victim.poison is None for cell in job.cells} == {True, False}


def test_every_cell_of_a_victim_that_cannot_be_measured_tells_the_error(suite):
    attacks = "attacks: [{name: fgsm, epsilon: [0.1]}, {name: idle, epsilon: 0.1}]\n"
    found = records(run(suite(f"models: [{{name: silent, factors: 4, epochs: 1}}]\n{attacks}")))
    errors = [record["error"] for record in found.values()]
    assert [error["type"] for error in errors] == ["RuntimeError"] * 3
    assert {error["message"] for error in errors} == {"no scores today"}
    assert len({len(error["traceback"].splitlines()) for error in errors}) == 1


def test_a_record_notes_what_its_own_measurement_read(suite):
    attacks = "attacks: [{name: curious, epsilon: 0.1}, {name: idle, epsilon: 0.1}]\n"
    found = records(run(suite(f"models: [{{name: reader, factors: 4, epochs: 1}}]\n{attacks}")))
    assert all(record["fit"]["texts_read"] == 3 for record in found.values())
    assert {name: set(record["reading"]) for name, record in found.items()} == {
        "clean": {"tokens"},
        "curious": {"prompts", "tokens"},
        "idle": {"tokens"},
    }
    assert found["curious"]["reading"]["prompts"] == 1
    tokens = {name: record["reading"]["tokens"] for name, record in found.items()}
    # The attack ``idle`` asks for no scores. It does not count the tokens of ``curious``, which came before.
    assert 0 < tokens["clean"] == tokens["idle"] < tokens["curious"]


def test_a_system_without_the_module_resource_measures_too(monkeypatch):
    assert provenance.peak_memory() > 0
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows, which has no module resource
    assert provenance.peak_memory() is None
    assert "work" in runpy.run_path(worker.__file__)
