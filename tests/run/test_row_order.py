"""Tests that the order of a file's rows changes no cell."""

import json
import random

import pytest
from tests.run.inline import run

SUITE = """name: order
datasets: [{name: csv, path: r.csv, repeats: all}]
models: [item-knn, {name: mf, factors: 4, epochs: 1}]
"""


@pytest.fixture
def orders():
    draw = random.Random(1)
    lines = [f"{draw.randrange(20)},{draw.randrange(15)},{1_500_000_000 + draw.randrange(30)}" for _ in range(300)]
    return [sorted(lines), sorted(lines)[::-1], draw.sample(lines, len(lines))]


def test_three_orders_of_the_rows_give_equal_cells(tmp_path, orders):
    contents = []
    for number, lines in enumerate(orders):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "r.csv").write_text("\n".join(["user,item,time", *lines]))
        (folder / "s.yaml").write_text(SUITE)
        job = run(folder / "s.yaml")
        cells = sorted(job.store.cells.iterdir())
        metrics = {path.stem: json.loads(path.read_text())["metrics"] for path in cells if path.suffix == ".json"}
        contents.append((metrics, {path.name: path.read_bytes() for path in cells if path.suffix == ".npz"}))
    assert [len(part) for part in contents[0]] == [2, 2]
    assert contents[0] == contents[1] == contents[2]
