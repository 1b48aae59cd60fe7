"""Tests the frame that describes the users of a cell, with made-up records."""

import numpy as np
import pytest
from tests.fakes import L2, METRICS, USERS, World, ranks

from robench.entrance.results import ResultFrames
from robench.tables.results import read_results


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "w", [])
    rows = np.arange(USERS)
    known = {"user": rows, "user_id": rows.astype(np.str_), "title": rows.astype(np.str_)}
    known |= {"held_out_indptr": np.arange(USERS + 1), "held_out_items": rows}
    world.cell(ranks(150, 99))
    world.store.write_users({f"d/s/{name}": array for name, array in known.items()})
    return world


def users(world, cell):
    """Writes the folder of the world, and returns the frame with the users of a cell."""
    world.build()
    folder = world.store.folder
    return ResultFrames(folder, read_results(folder, METRICS)).users(cell["cell"])


@pytest.mark.parametrize("surface", ["embedding", "parameters", "history"])
def test_a_user_has_the_loss_of_an_attack_on_users(world, surface):
    losses = {"loss": np.arange(USERS) + 1.0, "clean_loss": np.arange(USERS) / 2}
    frame = users(world, world.cell(ranks(40, 99), attack="a", threat={**L2, "surface": surface}, arrays=losses))
    for name, values in losses.items():
        assert frame[name].tolist() == values.tolist()


@pytest.mark.parametrize("items", [2, USERS])
def test_a_user_has_no_loss_of_an_attack_on_titles_because_it_belongs_to_an_item(world, items):
    losses = {"loss": np.ones(items), "clean_loss": np.zeros(items)}
    frame = users(world, world.cell(ranks(40, 99), attack="a", threat={**L2, "surface": "text"}, arrays=losses))
    assert list(frame.columns) == ["user", "user_id", "held_out", "ranks", "top", "ndcg@10", "rbo@10"]


def test_a_list_that_is_shorter_than_others_has_items_alone(world):
    top = np.tile(np.arange(10), (USERS, 1))
    top[0, 7:] = -1
    top[1] = -1
    frame = users(world, world.cell(ranks(40, 99), attack="a", arrays={"top": top}))
    assert frame["top"][:3].tolist() == [list(range(7)), [], list(range(10))]


def test_a_cell_has_a_frame_of_slices_and_without_facts_an_empty_one(tmp_path):
    world = World(tmp_path / "w", [])
    lengths = np.arange(USERS) % 2
    world.facts(history_length=lengths)
    cell = world.cell(np.where(lengths == 0, 99, 1), attack="a", threat=L2)["cell"]
    world.build()
    folder = world.store.folder
    frame = ResultFrames(folder, read_results(folder, METRICS)).slices(cell)
    assert frame.dtypes.astype(str).tolist() == ["string", "string", "string", "Int64", "float64", "boolean"]
    chosen = frame[(frame["metric"] == "ndcg@10") & (frame["slice"] == "activity")]
    assert chosen.set_index("group")[["users", "value", "worst"]].to_dict("index") == {
        "low": {"users": USERS // 2, "value": 0.0, "worst": True},
        "middle": {"users": USERS // 2, "value": 1.0, "worst": False},
    }
    (folder / "users.npz").unlink()
    empty = ResultFrames(folder, read_results(folder, METRICS)).slices(cell)
    assert len(empty) == 0
    assert empty.dtypes.astype(str).tolist() == frame.dtypes.astype(str).tolist()
