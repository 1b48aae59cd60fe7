"""Tests that vectors of items are read strictly and matched to the catalogue."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from robench.api.dataset import DatasetConfig, Ratings
from robench.api.errors import DataError
from robench.api.item_vectors import ItemVectors, VectorSource
from robench.engine.data.prepare import prepare
from robench.engine.data.prepared import Prepared
from robench.engine.data.vectors import match_vectors, read_vectors
from robench.spec import Part

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


def prepared() -> Prepared:
    ratings = Ratings(np.repeat(["u", "v"], 3), np.array(["7", "8", "9"] * 2))
    return prepare(ratings, DatasetConfig(), Part("leave-last-out", {}, "leave-last-out"))


def npy(folder, rows=ROWS, ids="9\n7\nnew\n"):
    np.save(folder / "v.npy", rows)
    (folder / "v.npy.txt").write_text(ids)
    return VectorSource(file=folder / "v.npy")


def safetensors(folder):
    save_file({"vectors": ROWS}, folder / "v.safetensors", {"ids": json.dumps(["9", "7", "new"])})
    return VectorSource(file=folder / "v.safetensors")


def parquet_lists(folder):
    pq.write_table(pa.table({"item": ["9", "7", "new"], "vector": ROWS.tolist()}), folder / "v.parquet")
    return VectorSource(file=folder / "v.parquet")


def parquet_columns(folder):
    pq.write_table(pa.table({"id": ["9", "7", "new"], "a": ROWS[:, 0], "b": ROWS[:, 1]}), folder / "v.parquet")
    return VectorSource(file=folder / "v.parquet")


@pytest.mark.parametrize("write", [npy, safetensors, parquet_lists, parquet_columns])
def test_every_format_gives_the_same_vectors_and_states_the_share(tmp_path, write):
    data = match_vectors(prepared(), read_vectors(write(tmp_path)))
    np.testing.assert_array_equal(data.catalogue.vectors, [[2, 3], [0, 0], [0, 1]])
    (note,) = data.summary.notes[-1:]
    assert note == "vectors of 2 numbers: 2 of 3 items have one, but not '8'; 1 vector of other items not used"
    assert data.summary.described["vectors"] == 2


def test_the_ids_of_the_rows_may_be_numbers_from_a_stated_one(tmp_path):
    np.save(tmp_path / "v.npy", ROWS)
    source = VectorSource(file=tmp_path / "v.npy", first_id=7)
    np.testing.assert_array_equal(match_vectors(prepared(), read_vectors(source)).catalogue.vectors, ROWS)


def test_vectors_are_part_of_the_digest_and_survive_a_file():
    data = prepared()
    one = match_vectors(data, ItemVectors(["7"], ROWS[:1] + 1))
    two = match_vectors(data, ItemVectors(["7"], ROWS[:1] + 2))
    assert len({data.sha256(), one.sha256(), two.sha256()}) == 3
    again = Prepared.from_bytes(one.to_bytes())
    assert again.sha256() == one.sha256()
    np.testing.assert_array_equal(again.catalogue.vectors, one.catalogue.vectors)
    assert Prepared.from_bytes(data.to_bytes()).catalogue.vectors is None


@pytest.mark.parametrize(
    ("rows", "ids", "problem"),
    [
        (ROWS, "9\n7\n", "2 ids for 3 vectors"),
        (ROWS[0], "9\n7\n", "float32 of shape 2, not one row of numbers per item"),
        (ROWS.astype(str), "9\n7\n8\n", "not one row of numbers per item"),
        (ROWS[:, :0], "9\n7\n8\n", "not one row of numbers per item"),
        (np.where(ROWS == 3, np.nan, ROWS), "9\n7\n8\n", "the vector of item '7' is not finite (1 such)"),
        (ROWS, "9\n7\n9\n", "item '9' has two vectors"),
        (ROWS, "a\nb\nc\n", "no item of the data set has a vector"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, rows, ids, problem):
    source = npy(tmp_path, rows, ids)
    with pytest.raises(DataError) as error:
        match_vectors(prepared(), read_vectors(source), str(source.file))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.where == str(source.file)


def test_files_that_are_missing_or_damaged_are_refused(tmp_path):
    np.save(tmp_path / "v.npy", ROWS)
    with pytest.raises(DataError, match="no ids of the rows"):
        read_vectors(VectorSource(file=tmp_path / "v.npy"))
    for name in ("a.npy", "a.parquet", "a.safetensors"):
        with pytest.raises(DataError, match=r"no such file|cannot be read"):
            read_vectors(VectorSource(file=tmp_path / name))
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(DataError, match="cannot be read as vectors"):
            read_vectors(VectorSource(file=tmp_path / name))
    with pytest.raises(DataError, match="vectors are read from"):
        read_vectors(VectorSource(file=tmp_path / "v.csv"))
    pq.write_table(pa.table({"item": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}), tmp_path / "r.parquet")
    with pytest.raises(DataError, match="vectors of 1 and of 2 numbers"):
        read_vectors(VectorSource(file=tmp_path / "r.parquet"))
    save_file({"vectors": ROWS}, tmp_path / "n.safetensors")
    with pytest.raises(DataError, match="no ids of the rows"):
        read_vectors(VectorSource(file=tmp_path / "n.safetensors"))


def test_pickled_arrays_are_never_opened(tmp_path):
    np.save(tmp_path / "v.npy", np.array([SimpleNamespace()], dtype=object), allow_pickle=True)
    (tmp_path / "v.npy.txt").write_text("7\n")
    with pytest.raises(DataError, match="cannot be read as vectors"):
        read_vectors(VectorSource(file=tmp_path / "v.npy"))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"file": "a.npy", "texts": True}, "not from both"),
        ({"file": "a.parquet", "ids": "b.txt"}, "ids belongs to an npy file"),
        ({"file": "a.npy", "ids": "b.txt", "first_id": 0}, "first_id states the ids"),
        ({"encoder": "x/y"}, "encoder belongs to images or to texts"),
        ({"images": "folder"}, "images need an encoder"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, problem):
    with pytest.raises(ValidationError, match=problem):
        VectorSource.model_validate(settings)


def test_a_path_names_a_file_and_the_default_keeps_earlier_ids():
    config = DatasetConfig.model_validate({"item_vectors": "v.npy"})
    assert str(config.item_vectors.file) == "v.npy"
    assert "item_vectors" not in DatasetConfig().resolved()
    assert DatasetConfig.model_validate(config.resolved()) == config
