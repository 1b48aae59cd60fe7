"""`robench show`: records, users' lists, folders, and ids by their first digits."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.fakes import FAKES, POISONING, USERS, World

from robench.api.errors import UserError
from robench.report.cell import show_cell


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path / "results" / "w", [POISONING])
    world.cell([1] * USERS)
    targets = {"target_ranks": [[1] * USERS], "targets": np.array([3])}
    world.cell([4] * USERS, attack="bandwagon", epsilon=0.05, threat=FAKES, arrays=targets)
    world.cell([], attack="random", epsilon=0.05, threat=FAKES, status="failed")
    world.cell([], attack="other", epsilon=0.05, threat=FAKES, status="missing")
    world.build()
    world.store.write_users(
        {
            "d/s/user": np.arange(USERS),
            "d/s/user_id": np.array([f"u{u}" for u in range(USERS)]),
            "d/s/held_out_indptr": np.arange(USERS + 1),
            "d/s/held_out_items": np.full(USERS, 2),
            "d/s/title": np.array([f"Title {i}" for i in range(100)]),
        }
    )
    return world.store.folder


def show(path, user=None):
    out = io.StringIO()
    show_cell(path, user, Console(file=out, width=200, markup=False))
    return out.getvalue()


def test_the_status_is_the_record_s_and_targets_have_titles(folder):
    (_, poisoned, failed) = sorted((folder / "cells").glob("*.json"))
    text = show(poisoned)
    assert " ok " in text
    assert "planned" not in text
    assert "Title 3" in text
    assert " failed " in show(failed, None)


def test_a_user_s_lists_stand_alone_with_their_marks(folder):
    (_, poisoned, failed) = sorted((folder / "cells").glob("*.json"))
    text = show(poisoned, "u7")
    assert "provenance" not in text
    assert "metrics" not in text
    assert "Title 2  (held out)" in text
    assert "Title 3  (target)" in text
    assert "bandwagon, this cell" in text
    with pytest.raises(UserError, match="the cell is failed"):
        show(failed, "u7")
    with pytest.raises(UserError, match="no evaluated user 'nobody'"):
        show(poisoned, "nobody")


def test_the_first_digits_of_an_id_are_enough(folder):
    cells = sorted((folder / "cells").glob("*.json"))
    assert show(Path(cells[0].stem)) == show(cells[0])
    assert show(folder / "cells" / cells[2].stem) == show(folder / cells[2].stem) == show(cells[2])
    with pytest.raises(UserError, match=r"3 records begin so \(results/w/cells/0{16}\.json, ") as caught:
        show(Path("0000"))
    assert "\n" not in str(caught.value)
    for wrong in (Path("ffff"), Path("results/w/nothing"), Path("*")):
        with pytest.raises(UserError, match="no such record"):
            show(wrong)
    with pytest.raises(UserError, match="not a record"):
        show(folder / "plan.json")


def test_a_folder_says_what_is_in_it_and_how_to_find_a_cell(folder):
    text = show(folder)
    assert "4 cells of suite w (1 failed, 1 not run, 2 ok)" in text
    assert "cells.csv" in text
    with pytest.raises(UserError, match="not a folder of results"):
        show(folder.parent)


def test_the_edits_of_a_history_are_told_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    edits = {"stage": "test", "surface": "history", "norm": "edits", "scale": "absolute", "goal": "untargeted", "k": 10}
    world = World(tmp_path / "results" / "w", [])
    world.cell([1] * USERS)
    script = np.array([[7, 4, 5, 6], [7, 0, -1, 9], [8, 2, 3, -1]])
    world.cell([40] * USERS, attack="greedy-edit", epsilon=2, threat=edits, arrays={"script": script})
    world.build()
    users = {"user": np.arange(USERS), "user_id": np.array([f"u{u}" for u in range(USERS)])}
    held = {"held_out_indptr": np.arange(USERS + 1), "held_out_items": np.full(USERS, 2)}
    titles = {"title": np.array([f"Title {i}" for i in range(100)])}
    world.store.write_users({f"d/s/{name}": part for name, part in {**users, **held, **titles}.items()})
    (_, attacked) = sorted((world.store.folder / "cells").glob("*.json"))
    text = show(attacked, "u7")
    assert "Title 5, item 5 of the history, replaced by Title 6" in text
    assert "Title 9 inserted as item 1 of the history" in text
    assert "Title 3, item 3 of the history, deleted" in show(attacked, "u8")
    assert "the history was left as it is" in show(attacked, "u9")
