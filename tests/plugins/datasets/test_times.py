"""Tests that times of every type keep their order, also across time zones."""

import numpy as np
import pandas as pd
import pytest

from robench.api.errors import DataError
from robench_plugins.datasets.csv_file import CsvFile
from robench_plugins.datasets.frame import Frame

MANY = 8


def load(times):
    log = pd.DataFrame({"user": ["a"] * len(times), "item": [*map(str, range(len(times)))], "time": times})
    return Frame.holding({"mine": log}).make(data="mine").load()


@pytest.mark.parametrize("start", [0.0, 1.5e9])
def test_float_times_finer_than_a_microsecond_keep_their_order(start):
    times = start + np.arange(MANY) * 2.0**-22
    assert len({*times.tolist()}) == MANY
    assert load(times[::-1]).times.argsort().tolist() == [*range(MANY)][::-1]


@pytest.mark.parametrize("times", [[1.5, -0.5, 2.0], [1.0, -2.0, 3.0]])
def test_a_negative_float_time_is_one_line(times):
    with pytest.raises(DataError, match=r"mine\.iloc\[1\]: time -.* is negative"):
        load(times)


def test_a_zone_east_of_greenwich_is_earlier():
    clock = "2019-12-31T12:00:00"
    ratings = load([f"{clock}+05:30", clock, f"{clock}Z", f"{clock}-08:00"])
    assert (ratings.times - ratings.times[1]).tolist() == [-5.5 * 3600, 0, 0, 8 * 3600]
    assert ratings.ticks == 1


@pytest.mark.parametrize(("number", "time"), [(2**31, 5), (7, 2**31), (-(2**31) - 1, 2**33), (2**63, 6)])
def test_numbers_that_need_more_than_32_bits_are_read_exactly(tmp_path, number, time):
    path = tmp_path / "x.csv"
    path.write_text(f"user,item,time\n1,-5,4\n2,6,3\n3,{number},{time}\n")
    ratings = CsvFile.make(path=path).load()
    assert ratings.users.tolist() == ["1", "2", "3"]
    assert ratings.items.tolist() == ["-5", "6", str(number)]
    assert ratings.times.tolist() == [4, 3, time]
    assert ratings.times.dtype == np.int64


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (("2020-01-01T10:00", "2020-01-01T10:00Z", "2020-01-01T10:00"), "1 of 3 times state a time zone"),
        (("2020-01-01", "2020-01-01 10:00+01:00", "2020-01-01 09:00 UTC"), "2 of 3 times state a time zone"),
        (("2020-01-01T10:00Z", "2020-01-01T10:00+01:00", "2020-01-01T10:00 UTC"), ""),
        (("2020-01-01T10:00", "2020-01-01T10:01", "2020-01-02"), ""),
    ],
)
def test_a_time_zone_in_some_rows_only_is_told(tmp_path, cells, note):
    (tmp_path / "r.csv").write_text("user,item,time\n" + "".join(f"a,{i},{cell}\n" for i, cell in enumerate(cells)))
    notes = CsvFile.make(path=tmp_path / "r.csv").load().notes
    assert notes == ((f"{note}, and the others are read as UTC",) if note else ())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_positions_with_fractions_keep_their_order_and_unit(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    frame = pd.DataFrame({"user": ["a"] * 4, "item": list("wxyz"), "time": [8.5, 0.5, 2.0, 0.25]})
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    ratings = CsvFile.make(path=path).load()
    assert (ratings.times / ratings.scale).tolist() == [8.5, 0.5, 2.0, 0.25]
    assert ratings.ticks is None
    assert ratings.notes == ()
