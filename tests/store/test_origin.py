"""Tests that a suite file removes nothing from the plan of another suite file.

Both suites have the same name, and therefore the same folder of results.
"""

import json

import pytest

from robench.api.errors import UserError
from robench.store.origin import ORIGIN, check_origin, note_origin


def plan(*cells, metrics=("ndcg@10",)):
    return {"cells": [{"cell": cell} for cell in cells], "metrics": list(metrics), "ranking": []}


@pytest.fixture
def files(tmp_path):
    """Returns two suite files and a folder of results.

    The plan of the folder comes from the first file, and has the cells a and b.
    """
    one, other, folder = tmp_path / "one" / "s.yaml", tmp_path / "other" / "s.yaml", tmp_path / "results" / "s"
    for path in (one.parent, other.parent, folder):
        path.mkdir(parents=True)
    write(folder, one, plan("a", "b"))
    return one, other, folder


def write(folder, suite, new):
    check_origin(folder, suite, lambda: new)
    note_origin(folder, suite, new)
    (folder / "plan.json").write_text(json.dumps(new))


def test_a_suite_file_may_change_in_any_way(files):
    one, _, folder = files
    for new in (plan("a"), plan("c", "d"), plan("c", "d", metrics=["hr@5"])):
        write(folder, one, new)


@pytest.mark.parametrize(
    ("new", "lost"), [(plan("a"), "1 cell"), (plan("c", metrics=["hr@5"]), "2 cells, 1 metric"), (plan(), "2 cells")]
)
def test_another_file_may_not_take_anything_away(files, new, lost):
    _, other, folder = files
    with pytest.raises(UserError, match=f"another suite file, 's.yaml', and would lose {lost} ") as caught:
        check_origin(folder, other, lambda: new)
    assert "\n" not in str(caught.value)
    assert "another --results" in caught.value.hint


def test_another_file_may_add_and_the_plan_is_its_own_then(files):
    one, other, folder = files
    write(folder, other, plan("a", "b", "c"))
    write(folder, other, plan("c"))
    with pytest.raises(UserError, match="would lose 1 cell"):
        check_origin(folder, one, lambda: plan("a", "b"))


def test_an_equal_plan_and_the_written_suite_leave_the_note_as_it_is(files):
    one, other, folder = files
    before = (folder / ORIGIN).read_text()
    write(folder, other, plan("b", "a"))
    write(folder, folder / "suite.yaml", plan("a"))
    assert (folder / ORIGIN).read_text() == before
    write(folder, one, plan("b"))


def test_moving_both_together_changes_nothing(files, tmp_path):
    tmp_path.joinpath("results").rename(tmp_path / "one" / "results")
    one, folder = tmp_path / "one" / "s.yaml", tmp_path / "one" / "results" / "s"
    write(folder, one, plan("a", "b", "c"))  # another path to the file, but the plan loses no cell
    tmp_path.joinpath("one").rename(tmp_path / "two")
    write(tmp_path / "two" / "results" / "s", tmp_path / "two" / "s.yaml", plan("c"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"place": null}'])
def test_a_folder_without_a_note_is_anybodys(files, content):
    _, other, folder = files
    (folder / ORIGIN).write_text(content)
    check_origin(folder, other, lambda: plan("c"))


def test_the_note_shows_no_path(files):
    one, _, folder = files
    note = json.loads((folder / ORIGIN).read_text())
    assert note["file"] == "s.yaml"
    assert str(one.parent.name) not in json.dumps(note)
    assert "/" not in json.dumps(note)
