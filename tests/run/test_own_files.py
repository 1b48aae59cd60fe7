"""Tests the split ``files`` from the suite to the prepared data."""

import shutil

import pytest

from robench.files.cache import Cache
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.data import prepare_data
from robench.run.preview import make_preview
from robench.suite.load import load_suite

SUITE = """name: own
datasets: [{name: csv}]
split: {name: files, train: train.csv, test: test.csv}
models: [popularity]
"""


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    rows = [f"u{user},i{(user + place) % 9},{place}" for user in range(20) for place in range(5)]
    (folder / "train.csv").write_text("\n".join(["user,item,time", *rows]))
    (folder / "test.csv").write_text(
        "\n".join(["user,item,time", *(f"u{user},i{(user + 7) % 9},9" for user in range(20))])
    )
    (folder / "own.yaml").write_text(SUITE)
    return folder / "own.yaml"


def prepared(path, registry, cache):
    loaded = load_suite(path, registry)
    return prepare_data(loaded.datasets[0], loaded.split, registry, loaded.folder, cache)


def test_ids_and_keys_do_not_depend_on_the_folder_and_the_content_counts(suite, registry, tmp_path):
    moved = shutil.copytree(suite.parent, tmp_path / "there") / "own.yaml"
    one, two = (make_plan(load_suite(path, registry), registry).cells for path in (suite, moved))
    assert [cell.id for cell in one] == [cell.id for cell in two]
    cache = Cache(tmp_path / "cache")
    key, data = prepared(suite, registry, cache)
    assert data.summary.parts == (100, 0, 20)
    assert prepared(moved, registry, cache)[0] == key
    with (moved.parent / "test.csv").open("a") as file:
        file.write("\nu0,i8,10")
    other, more = prepared(moved, registry, cache)
    assert more.summary.parts == (100, 0, 21)
    assert (other.key != key.key, other.sha256 != key.sha256) == (True, True)


def test_a_missing_file_is_one_line_at_the_split(suite, registry):
    (suite.parent / "test.csv").rename(suite.parent / "tests.csv")
    (line,) = make_preview(suite, registry, None, (), ()).refusals
    assert line.startswith(
        f"{suite}:3: split.test: {suite.parent / 'test.csv'}: no such file (did you mean 'tests.csv'?"
    )


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (("name: csv", "name: csv, path: train.csv"), "2: datasets[0]", "path is not read"),
        (("name: csv", "name: csv, min_item_interactions: 2"), "2: datasets[0]", "get no k-core"),
        (("{name: csv}", "synthetic"), "2: datasets[0]", "reads no files that are split already"),
        ((", train: train.csv, test: test.csv", ""), "2: datasets[0]", "no files to split by"),
        (("[popularity]\n", "[popularity]\nmetrics: [accuracy]\n"), "5: metrics", "metrics of likes need validation"),
    ],
)
def test_a_mistake_is_one_line_of_the_suite(suite, registry, change, place, problem):
    suite.write_text(SUITE.replace(*change))
    (line,) = make_preview(suite, registry, None, (), ()).refusals
    assert line.startswith(f"{suite}:{place}: ")
    assert problem in line
