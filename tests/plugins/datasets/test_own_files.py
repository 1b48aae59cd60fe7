import gzip

import pandas as pd
import pytest

from robench.api.errors import DataError
from robench_plugins.datasets.csv_file import CsvFile
from robench_plugins.datasets.recbole import Recbole

TRAIN = "user,item,rating,time\na,x,1,10\na,y,2,11.5\nb,x,3,12\n"
TEST = "user,item,rating,time\nb,y,4,13\nc,z,5,14\n"


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return {name: folder / f"{name}.csv" for name in texts}


def test_the_parts_are_read_with_the_settings_of_the_data_set(tmp_path):
    files = write(tmp_path, train=TRAIN.replace(",", ";"), validation="user;item;rating;time\na;z;1;12\n")
    files |= write(tmp_path, test=TEST.replace(",", ";"))
    ratings = CsvFile.make(separator=";").with_files(files).load()
    assert ratings.users.tolist() == ["a", "a", "b", "a", "b", "c"]
    assert ratings.items.tolist() == ["x", "y", "x", "z", "y", "z"]
    assert ratings.parts.tolist() == [0, 0, 0, 1, 2, 2]
    assert ratings.ratings.tolist() == [1, 2, 3, 1, 4, 5]
    # One file has a time with a fraction. The times of all files are read together, so the times keep their order.
    assert ratings.times.argsort(kind="stable").tolist() == [0, 1, 2, 3, 4, 5]
    assert ratings.times[2] == ratings.times[3]


def test_the_parts_may_have_different_formats_and_types(tmp_path):
    files = write(tmp_path, train="user,item,rating,time\n1,x,1,10\n2,y,2,9007199254740993\n")
    files["validation"] = tmp_path / "v.parquet"
    frame = pd.DataFrame({"user": [1], "item": ["x"], "rating": [2], "time": [9007199254740992.0]})
    frame.astype({"user": "uint8", "item": "category"}).to_parquet(files["validation"])
    files["test"] = tmp_path / "t.jsonl"
    files["test"].write_text('{"user": 1, "item": "y", "rating": 4.5, "time": 10.5}\n')
    ratings = CsvFile.make().with_files(files).load()
    assert ratings.users.tolist() == ["1", "2", "1", "1"]
    assert ratings.items.tolist() == ["x", "y", "x", "y"]
    assert ratings.ratings.tolist() == [1, 2, 2, 4.5]
    assert ratings.times.argsort().tolist() == [0, 3, 2, 1]  # the times of two rows are equal as float64


def test_every_file_and_its_part_count_in_the_fingerprint(tmp_path):
    files = write(tmp_path, train=TRAIN, test=TEST)
    first = CsvFile.make().with_files(files).fingerprint()
    assert first == CsvFile.make().with_files(dict(reversed(files.items()))).fingerprint()
    assert first != CsvFile.make().with_files({"train": files["test"], "test": files["train"]}).fingerprint()
    assert first != CsvFile.make().with_files({**files, "validation": files["test"]}).fingerprint()
    files["test"].write_text(TEST + "a,z,1,15\n")
    assert first != CsvFile.make().with_files(files).fingerprint()


@pytest.mark.parametrize(
    ("test", "place", "problem"),
    [
        (TEST + "d,,1,1\n", "test.csv:4", "an empty item"),
        (TEST.replace("14", "never"), "test.csv:3", "time 'never'"),
        (TEST.replace(",time", ",when"), "test.csv:1", "no column 'time', which train.csv has"),
        (TEST.replace("item", "thing"), "test.csv:1", "no column 'item' for item"),
    ],
)
def test_a_mistake_names_its_own_file_and_line(tmp_path, test, place, problem):
    files = write(tmp_path, train=TRAIN, test=test)
    with pytest.raises(DataError) as caught:
        CsvFile.make().with_files(files).load()
    assert caught.value.where.endswith(place)
    assert problem in str(caught.value)


def test_a_path_that_would_not_be_read_is_refused(tmp_path):
    files = write(tmp_path, train=TRAIN, test=TEST)
    with pytest.raises(DataError, match="path is not read"):
        CsvFile.make(path=files["train"]).with_files(files)
    with pytest.raises(DataError, match="missing key 'path'"):
        CsvFile.make().load()
    with pytest.raises(DataError, match="no files to split by"):
        CsvFile.make().with_files({})


INTER = "user_id:token\titem_id:token\ttimestamp:float\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "x.train.inter").write_text(INTER + "a\tx\t1\nb\tx\t2\n")
    (tmp_path / "x.valid.inter.gz").write_bytes(gzip.compress((INTER + "a\ty\t3\n").encode()))
    (tmp_path / "x.test.inter").write_text(INTER + "a\tz\t4\n")
    (tmp_path / "x.item").write_text("item_id:token\tmovie_title:token_seq\nz\tZodiac\n")
    return tmp_path


def test_the_benchmark_files_of_recbole(folder):
    ratings = Recbole.make(path=folder).with_files({}).load()
    assert ratings.users.tolist() == ["a", "b", "a", "a"]
    assert ratings.items.tolist() == ["x", "x", "y", "z"]
    assert ratings.parts.tolist() == [0, 0, 1, 2]
    assert ratings.catalogue["z"].title == "Zodiac"
    (folder / "x.valid.inter.gz").unlink()
    assert Recbole.make(path=folder).with_files({}).load().parts.tolist() == [0, 0, 2]


def test_benchmark_files_that_are_missing_or_double_are_one_line(folder):
    with pytest.raises(DataError, match=r"several \.inter files.*split: files reads these"):
        Recbole.make(path=folder).load()
    (folder / "y.train.inter").write_text(INTER)
    with pytest.raises(DataError, match=r"several \.train\.inter files: x\.train\.inter, y\.train\.inter"):
        Recbole.make(path=folder).with_files({})
    (folder / "y.train.inter").unlink()
    (folder / "x.test.inter").unlink()
    with pytest.raises(DataError, match=r"no \.test\.inter file"):
        Recbole.make(path=folder).with_files({})


def test_atomic_files_with_whole_times_and_with_fractions_keep_their_order(tmp_path):
    head = "user_id:token\titem_id:token\ttimestamp:float\n"
    for name, rows in {"train": "a\tx\t10\na\ty\t12\n", "valid": "a\tz\t11.5\n", "test": "a\tv\t13\n"}.items():
        (tmp_path / f"own.{name}.inter").write_text(head + rows)
    ratings = Recbole.make(path=tmp_path).with_files({}).load()
    assert ratings.times.argsort().tolist() == [0, 2, 1, 3]
