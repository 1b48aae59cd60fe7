"""Tests the lists of every user: the rows, the formats of the file, and mistakes."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from robench.api.data import Interactions
from robench.api.errors import UserError
from robench.recommend import everyone
from robench.recommend.lists import recommend, write_lists
from robench.recommend.query import Request

COLUMNS = ["data", "victim", "user", "rank", "item", "title", "score", "held_out"]


@pytest.fixture
def written(done, registry, monkeypatch, tmp_path):
    """Returns a function that writes lists to a file.

    The function returns the path of the file and the number of rows.
    """
    monkeypatch.setenv("ROBENCH_CACHE", str(done / "cache"))

    def write(name="lists.jsonl", source=None, **request):
        rows = write_lists(
            source or done / "four.yaml", tmp_path / name, Request(**request), registry, lambda line: None
        )
        return tmp_path / name, rows

    return write


def rows_of(path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        kinds = {"rank": int, "score": float, "held_out": "True".__eq__}
        return [{**row, **{name: kind(row[name]) for name, kind in kinds.items()}} for row in csv.DictReader(file)]


def test_every_user_gets_the_list_that_the_user_alone_gets(done, written, registry, monkeypatch):
    monkeypatch.setattr(everyone, "chunk_size", lambda n_items, device: 32)  # the users take several chunks
    path, count = written(k=4, defense="none")
    found = rows_of(path)
    assert [*found[0]] == COLUMNS
    assert 0 < sum(row["held_out"] for row in found) < len(found)
    assert len(found) == count == 4 * len({(row["victim"], row["user"]) for row in found})
    for user in [row["user"] for row in found[:: len(found) // 3]]:
        for one in recommend(done / "four.yaml", Request(user, k=4, defense="none"), registry, lambda line: None):
            mine = [row for row in found if (row["victim"], row["user"]) == (one.victim, user)]
            assert [(row["item"], row["title"]) for row in mine] == [(line.item, line.title) for line in one.lines]
            assert [row["score"] for row in mine] == pytest.approx([line.score for line in one.lines], rel=1e-5)
            assert [row["rank"] for row in mine] == [1, 2, 3, 4]
            assert [row["held_out"] for row in mine] == [line.held_out for line in one.lines]
            assert {row["data"] for row in mine} == {one.data}


def test_the_formats_hold_the_same_rows(written):
    rows = [rows_of(written(f"lists{suffix}", model="popularity")[0]) for suffix in everyone.WRITERS]
    assert len(rows[0]) > 100
    assert rows[0] == rows[1] == rows[2]


def test_a_checkpoint_writes_the_lists_of_its_victim(done, written, registry):
    (one,) = recommend(done / "four.yaml", Request("5", model="mf", defense="none"), registry, lambda line: None)
    direct = written(source=one.checkpoint)[0].read_text()
    assert direct == written(model="mf", defense="none")[0].read_text()
    with pytest.raises(UserError, match="a checkpoint is one victim"):
        written(source=one.checkpoint, model="mf")


def test_mistakes_are_found_before_anything_is_fitted_or_written(written, tmp_path, monkeypatch):
    monkeypatch.setattr("robench.recommend.lists.make_victim_fit", lambda *_: pytest.fail("a victim was fitted"))
    (tmp_path / "folder.csv").mkdir()
    cases = [
        ("lists.txt", {}, "unknown format '.txt'"),
        ("lists.json", {}, "did you mean '.jsonl'?"),
        ("missing/lists.csv", {}, "no folder"),
        ("folder.csv", {}, "it is a folder"),
        ("lists.csv", {"k": 0}, "a list of 0 items"),
        ("lists.csv", {"k": 41}, "41 of 40 items cannot be recommended"),
        ("lists.csv", {"user": "5"}, "--all-users recommends to every user"),
        ("lists.csv", {"model": "nobody"}, "no model 'nobody'"),
    ]
    for name, request, message in cases:
        with pytest.raises(UserError) as caught:
            written(name, **request)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not any(path.is_file() for path in tmp_path.iterdir())


def test_a_victim_that_fails_leaves_the_earlier_file(written, monkeypatch):
    path, _ = written("lists.csv", model="popularity")
    before = path.read_bytes()

    def broken(self, users, history):
        return np.full((len(users), history.n_items), np.nan, dtype=np.float32)

    monkeypatch.setattr("robench_plugins.models.mf.MatrixFactorization.scores", broken)
    with pytest.raises(UserError, match="not finite"):
        written("lists.csv", defense="none")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_neural_model_scores_users_without_known_items_as_newcomers(done, registry, monkeypatch):
    from robench.api.models.torch import TorchModel  # noqa: PLC0415

    class Fake(TorchModel):
        def __init__(self):
            pass

        def scores(self, users, history):
            return np.zeros((len(users), 3), dtype=np.float32)

        def newcomers(self, history):
            return np.array([[1, 2, 3]], dtype=np.float32)

    Fake.__abstractmethods__ = frozenset()
    history = Interactions.from_rows([[0], [], [1]], 3)
    scores = everyone._scores(Fake(), np.array([0, 1, 2]), history)
    assert scores.tolist() == [[0, 0, 0], [1, 2, 3], [0, 0, 0]]


def test_the_command_writes_a_file_and_needs_both_options(robench, done, tmp_path):
    environment = {"ROBENCH_CACHE": str(done / "cache")}
    suite = str(done / "four.yaml")
    result = robench(
        tmp_path, "recommend", suite, "--all-users", "--out", "l.csv", "--only", "model=item-knn", **environment
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("lists: l.csv, ")
    assert rows_of(tmp_path / "l.csv")
    result = robench(tmp_path, "recommend", suite, "--all-users", **environment)
    assert result.returncode == 2
    assert "one needs the other" in result.stderr


def test_lists_of_the_whole_catalogue_end_with_the_last_unknown_item(written):
    found = rows_of(written(k=40, model="popularity", defense="none")[0])
    by_user = {}
    for row in found:
        by_user.setdefault(row["user"], []).append(row)
    for rows in by_user.values():
        assert 20 < len(rows) < 40
        assert len({row["item"] for row in rows}) == len(rows)
        assert all(np.isfinite(row["score"]) for row in rows)
