"""Tests ``robench show`` with records, with lists of users, and with folders.

The first digits of an id also name a cell.
"""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.fakes import FAKES, L2, POISONING, USERS, World, paths

from robench.api.errors import UserError
from robench.report.record import mark_invisible, show_cell, value_lines


def with_users(world):
    """Writes users.npz with one held-out item per user."""
    world.store.write_users(
        {
            "d/s/user": np.arange(USERS),
            "d/s/user_id": np.array([f"u{u}" for u in range(USERS)]),
            "d/s/held_out_indptr": np.arange(USERS + 1),
            "d/s/held_out_items": np.full(USERS, 2),
            "d/s/title": np.array([f"Title {i}" for i in range(100)]),
        }
    )


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
    with_users(world)
    return world.store.folder


def show(path, user=None):
    out = io.StringIO()
    show_cell(path, user, Console(file=out, width=200, markup=False))
    return out.getvalue()


def test_the_status_is_the_record_s_and_targets_have_titles(folder):
    (_, poisoned, failed) = paths(folder)
    text = show(poisoned)
    assert " ok " in text
    assert "planned" not in text
    assert "Title 3" in text
    assert " failed " in show(failed, None)


def test_a_user_s_lists_stand_alone_with_their_marks(folder):
    (_, poisoned, failed) = paths(folder)
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
    cells = paths(folder)
    assert show(Path(cells[0].stem)) == show(cells[0])
    assert show(folder / "cells" / cells[2].stem) == show(folder / cells[2].stem) == show(cells[2])
    for cell in cells[1:]:
        cell.rename(cell.with_name(cells[0].stem[:8] + cell.stem[8:] + ".json"))
    with pytest.raises(UserError, match=r"3 records begin with this \(results/w/[0-9a-f]{16}, ") as caught:
        show(Path(cells[0].stem[:8]))
    assert "\n" not in str(caught.value)
    for wrong in (Path("nothing"), Path("results/w/nothing"), Path("*")):
        with pytest.raises(UserError, match="no such record"):
            show(wrong)
    with pytest.raises(UserError, match="not a record"):
        show(folder / "plan.json")


def test_an_unknown_id_says_where_it_was_searched(folder, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"ffff: no such record \(searched in results/w; robench show FOLDER"):
        show(Path("ffff"))
    for number in range(12):
        (folder.parent / f"x{number:02}").mkdir()
    with pytest.raises(UserError, match=r"results/w, results/x00, .* and 5 more folders; "):
        show(Path("ffff"))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UserError, match=r"there is no folder of results in .*empty/results: give"):
        show(Path("ffff"))


def test_nested_values_are_readable_lines():
    assert value_lines({"plugins": {"robench:builtin": "0.1"}, "threads": 1}) == [
        "plugins: robench:builtin: 0.1",
        "threads: 1",
    ]
    assert value_lines([1, 2.5, None, True]) == ["1, 2.5, none, yes"]
    assert value_lines({}) == value_lines([]) == ["none"]


def test_a_folder_says_what_is_in_it_and_how_to_find_a_cell(folder):
    text = show(folder)
    assert "4 cells of suite w (1 failed, 1 missing, 2 ok)" in text
    assert "cells.csv" in text
    with pytest.raises(UserError, match="not a folder of results"):
        show(folder.parent)


def test_titles_are_shown_before_and_after_with_what_cannot_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threat = {"stage": "test", "surface": "text", "norm": "characters", "scale": "relative", "goal": "promote", "k": 10}
    rows = [
        {"item": "7", "row": 7, "before": "Heat", "after": "He\u200b\u0430t", "edits": 2, "similarity": 0.4321},
        {"item": "9", "row": 9, "before": "Amélie", "after": "Amelie", "edits": 1},
    ]
    world = World(tmp_path / "results" / "w", [])
    world.cell([1] * USERS)
    targets = {"target_ranks": [[1] * USERS], "targets": np.array([3])}
    world.cell([1] * USERS, attack="typo", epsilon=0.5, threat=threat, titles=rows, arrays=targets)
    world.build()
    (_, cell) = paths(world.store.folder)
    text = show(cell)
    assert first(text, "title of item 7") == ["Heat"]
    assert "→ He‹U+200B›\u0430‹U+0430›t (2 edits, similarity 0.43)" in text
    assert first(text, "title of item 9") == ["Amélie"]
    assert "→ Amelie (1 edit)" in text


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Amélie: 8½, #1!", "Amélie: 8½, #1!"),
        ("a\u200bb\u202e", "a‹U+200B›b‹U+202E›"),
        ("\u0430b", "\u0430‹U+0430›b"),
        ("a\tb", "a‹U+0009›b"),
    ],
)
def test_what_cannot_be_seen_has_its_number(title, shown):
    assert mark_invisible(title) == shown


def test_the_edits_of_a_history_are_told_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    edits = {"stage": "test", "surface": "history", "norm": "edits", "scale": "absolute", "goal": "untargeted", "k": 10}
    world = World(tmp_path / "results" / "w", [])
    world.cell([1] * USERS)
    script = np.array([[7, 4, 5, 6], [7, 0, -1, 9], [8, 2, 3, -1]])
    world.cell([40] * USERS, attack="greedy-edit", epsilon=2, threat=edits, arrays={"script": script})
    world.build()
    with_users(world)
    (_, attacked) = paths(world.store.folder)
    text = show(attacked, "u7")
    assert "Title 5, item 5 of the history, replaced by Title 6" in text
    assert "Title 9 inserted as item 1 of the history" in text
    assert "Title 3, item 3 of the history, deleted" in show(attacked, "u8")
    assert "the history was left as it is" in show(attacked, "u9")


def first(text, start):
    """Returns the cells after the first one, in the row that begins with ``start``."""
    line = next(line for line in text.splitlines() if line.startswith(f"│ {start}"))
    return [part.strip() for part in line.strip("│").split("│")][1:]


def test_a_promoted_item_has_its_ranks_before_and_after_and_who_was_left_alone_is_told_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path / "results" / "w", [])
    before = np.full((4, USERS), 50)
    before[2:, 1] = 0  # user 1 owns both promoted items
    before[2:, 2] = [0, 7]  # user 2 owns one promoted item, and the other is in the top 10
    world.cell([4] * USERS, arrays={"target_ranks": before, "targets": np.array([3, 5, 8, 9])})
    after = before[2:].copy()
    after[:, 0] = [6, 41]
    hit, spent = np.ones(USERS, dtype=bool), np.ones(USERS)
    hit[1] = hit[2] = False
    spent[1] = spent[3] = 0
    moved = {"target_ranks": after, "targets": np.array([8, 9]), "hit": hit, "spent": spent}
    first_of = np.full(USERS, -1)
    first_of[5] = 1
    threat = {**L2, "goal": "promote"}
    costs = {"kind": "gradient", "users": 1, "queries": 1, "gradients": 1, "first_breaks": 1}
    members = [{"name": "pgd-10", **costs}, {"name": "apgd-ce", **costs}]
    attack = {"attack": "auto", "epsilon": 0.05, "threat": threat, "members": members}
    world.cell([4] * USERS, **attack, arrays={**moved, "first": first_of})
    world.build()
    with_users(world)
    clean, cell = paths(world.store.folder)
    text = show(cell, "u0")
    assert first(text, "rank of Title 8 (target)") == ["50", "6"]
    assert first(text, "rank of Title 9 (target)") == ["50", "41"]
    assert "Title 3 (target)" not in text
    assert first(show(clean, "u0"), "rank of Title 3 (target)") == ["50"]
    assert first(show(cell, "u1"), "rank of Title 8 (target)") == ["in their data"] * 2
    assert "nothing to promote: every target is in this user's data already; left alone" in show(cell, "u1")
    lacking = show(cell, "u2")
    assert "nothing to reach: every target that this user lacks was in the clean top 10 already" in lacking
    assert "left alone" not in lacking
    assert "nothing that was tried within ε = 0.05 did harm; left alone" in show(cell, "u3")
    assert "the goal was reached first by apgd-ce" in show(cell, "u5")
    assert text.rstrip().endswith("┘")


def test_why_a_user_was_not_broken_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path / "results" / "w", [])
    world.cell([4] * USERS)
    hit, spent, radius = np.ones(USERS, dtype=bool), np.zeros(USERS), np.full(USERS, np.inf)
    hit[0], radius[0], radius[1], radius[2], spent[2] = False, 0, 0.123456, 0.04, 0.04
    arrays = {"hit": hit, "spent": spent, "radius": radius}
    world.cell([4] * USERS, attack="cw", epsilon=0.05, threat=L2, arrays=arrays)
    world.build()
    with_users(world)
    (_, cell) = paths(world.store.folder)
    assert "nothing to break: no held-out item was in the clean top 10; left alone" in show(cell, "u0")
    wanted = "no perturbation within ε = 0.05 breaks this user: "
    assert wanted + "the shortest that breaks has ε = 0.1235; left alone" in show(cell, "u1")
    assert show(cell, "u2").rstrip().endswith("┘")
    assert wanted + "none that breaks was found; left alone" in show(cell, "u3")


def test_the_numbers_of_a_detection_are_shown(tmp_path):
    world = World(tmp_path / "w", [])
    cell = world.cell([1] * USERS, weight=0.5, detection={"auroc": 0.875, "precision": None})["cell"]
    world.build()
    text = show(world.store.folder / cell)
    assert re.search(r"detection: auroc +│? *0.875", text)
    assert re.search(r"detection: precision +│? *none", text)
