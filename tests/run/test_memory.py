"""Tests what the plan reports about the memory that models declare."""

from robench.api.summary import DataSummary
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run import memory
from robench.run.data import data_name
from robench.run.memory import memory_notes
from robench.run.preview import make_preview
from robench.suite.load import load_suite
from robench_plugins.models.ease import Ease
from robench_plugins.models.item_knn import ItemKnn

SUITE = """
name: t
seeds: [0, 1]
datasets: [{name: synthetic, users: 40, items: 30}]
models: [popularity, ease, item-knn]
"""
BEAUTY = DataSummary(users=22_363, items=12_101, parts=(153_776, 22_363, 22_363))


def test_the_plan_has_a_line_per_model_that_needs_a_gibibyte(tmp_path, monkeypatch):
    path = tmp_path / "t.yaml"
    path.write_text(SUITE)
    registry = Registry.of(Host.discover())
    cells = [cell for cell in make_plan(load_suite(path, registry), registry).cells if not cell.skip]
    names = {data_name(cell.victim) for cell in cells}
    assert memory_notes(cells, dict.fromkeys(names, BEAUTY), registry) == [
        "memory: a fit of ease on synthetic (22,363 users and 12,101 items) needs about 2.4 GiB per worker, 2 victims"
    ]
    assert memory_notes(cells, {}, registry) == []
    assert not any("memory:" in note for note in make_preview(path, registry, None, (), ()).notes)
    monkeypatch.setattr(memory, "LEAST", 1000)
    lines = [note for note in make_preview(path, registry, None, (), ()).notes if note.startswith("memory:")]
    assert [line.split()[4] for line in lines] == ["ease", "item-knn"]


def test_the_declared_memory_grows_with_the_square_of_the_items_for_ease_alone():
    assert Ease.make().declared_memory(10, 2000, 100) == 4 * Ease.make().declared_memory(10_000, 1000, 100)
    assert ItemKnn.make(k=50).declared_memory(10, 2000, 100) == 2 * ItemKnn.make(k=50).declared_memory(10, 1000, 100)
