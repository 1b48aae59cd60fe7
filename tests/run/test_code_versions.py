"""Tests which changes of code make a cell stale.

A change makes a cell stale only if the changed code took part in the measurement. The same holds for checkpoints.
"""

import sys

import pytest
from tests.run.inline import SMALL, records, run

from robench.files.sources import Sources
from robench.run.dependencies import Dependencies
from robench.run.preview import make_preview

ATTACK = """
from robench.api import EmbeddingAttack, hookimpl

class Idle(EmbeddingAttack):
    def perturb(self, oracle, ball, rng):
        yield oracle.zero()

@hookimpl
def robench_attacks():
    return {"idle": Idle}
"""
SUITE = f"""
name: t
{SMALL}
models: [{{name: mf, factors: 4, epochs: 1}}]
attacks: [{{name: idle, epsilon: 0.1}}, {{name: fgsm, epsilon: 0.1}}]
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Returns a finished run of three cells.

    One cell is clean. The others belong to a built-in attack and to an attack of a third party.
    """
    (tmp_path / "idle.py").write_text(ATTACK)
    (tmp_path / "t.yaml").write_text(SUITE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ROBENCH_PLUGINS", "idle")
    monkeypatch.delitem(sys.modules, "idle", raising=False)
    return run(tmp_path / "t.yaml")


def stale(job, **changed):
    """Returns the labels of the cells that become stale if code digests change.

    ``changed`` replaces digests in the records of the cells.
    """
    dependencies, cells = (
        Dependencies(job.registry, Sources()),
        {c.attack.label if c.attack else "clean": c for c in job.cells},
    )
    found = records(job)
    for record in found.values():
        record["provenance"]["code"] |= changed
    return {name for name, record in found.items() if dependencies.is_stale(cells[name], record)}


def test_another_version_of_an_attack_makes_its_own_cells_stale(job, tmp_path):
    assert stale(job) == set()
    (tmp_path / "idle.py").write_text(f"{ATTACK}# edited\n")
    assert stale(job) == {"idle"}
    (row,) = make_preview(tmp_path / "t.yaml", job.registry, tmp_path / "results", (), ()).rows
    assert (row.cells, row.stored, row.stale) == (3, 3, 1)


def test_records_that_name_packages_are_read_and_stale(job):
    """Records of earlier versions hold one code digest per package."""
    assert stale(job, robench="0123456789abcdef") == {"clean", "fgsm", "idle"}
    assert stale(job, robench_plugins="0123456789abcdef") == {"clean", "fgsm", "idle"}


def test_keys_of_checkpoints_and_data_follow_the_code(job, tmp_path, monkeypatch):
    def entries():
        return {kind: set((job.cache.folder / kind).rglob("*.*")) for kind in ("data", "checkpoints")}

    before = entries()
    run(tmp_path / "t.yaml", fresh=True)
    assert entries() == before
    edits = {
        "robench_plugins.models.mf:MatrixFactorization": {"checkpoints"},
        "robench_plugins.datasets.synthetic:Synthetic": {"data"},
        "robench": {"data", "checkpoints"},
    }
    for edited, again in edits.items():
        before, code_of = entries(), Sources.code_of

        def changed(self, classes, edited=edited, code_of=code_of):
            return {key: "new" if key == edited else value for key, value in code_of(self, classes).items()}

        with monkeypatch.context() as patch:
            patch.setattr(Sources, "code_of", changed)
            run(tmp_path / "t.yaml", fresh=True)
        assert {kind for kind, paths in entries().items() if paths != before[kind]} == again


def test_the_cells_of_a_poisoned_victim_depend_on_its_poisoning(tmp_path):
    suite = SUITE.replace("{name: idle, epsilon: 0.1}", "{name: bandwagon, epsilon: 0.1}")
    suite += "targets: {count: 1}\n"
    (tmp_path / "t.yaml").write_text(suite)
    job = run(tmp_path / "t.yaml")
    (poisoned,) = (record for record in records(job).values() if record["spec"]["victim"]["poison"])
    assert any(name.endswith(":Bandwagon") for name in poisoned["provenance"]["code"])
    others = [record for record in records(job).values() if not record["spec"]["victim"]["poison"]]
    assert others
    assert not any("Bandwagon" in name for record in others for name in record["provenance"]["code"])
