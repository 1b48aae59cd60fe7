"""Tests which cells of a folder count as measured."""

from tests.fakes import World, ranks


def test_a_failed_cell_is_not_measured(tmp_path):
    world = World(tmp_path / "w", [])
    failed, stored = world.cell([], seed=0, status="failed"), world.cell(ranks(100, 99), seed=1)
    world.build()
    assert world.store.read(failed["cell"])["status"] == "failed"
    assert world.store.measured(failed["cell"]) is None
    assert world.store.measured(stored["cell"])["status"] == "ok"
