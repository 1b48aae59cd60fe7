"""Measures the CPU seconds and the peak memory of reading a large CSV file.

    python tools/perf/csv_scale.py [--rows 20000000] [--users 140000] [--items 27000] [--by-user] [--folder DIR]

The script writes a file of ratings as large as MovieLens 20M, with a few popular items and many rare ones. The rows are
in random order, or grouped by user with ``--by-user``. The baseline is ``pandas.read_csv`` alone. Then robench loads
the file, filters it to its 5-core and splits it. Pandas and robench run in separate processes. The exit code is 1 if
robench needs more than three times the CPU of pandas, more than 90 s of CPU, or more than 4 GiB.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from robench.engine.data.prepare import prepare
from robench.spec import Part
from robench_plugins.datasets.csv_file import CsvFile

MOST = {"ratio": 3.0, "seconds": 90.0, "GiB": 4.0}
CHUNK = 2_000_000


def write_file(path, rows, users, items, by_user):
    """Writes a file of ratings by random users for random items.

    Some pairs of a user and an item occur several times.
    """
    draw = np.random.default_rng(0)
    shares = 1 / np.arange(1, items + 1) ** 0.9
    limits = np.cumsum(shares / shares.sum())
    activity = np.cumsum(draw.lognormal(0, 1.2, users))
    plain = csv.WriteOptions(include_header=False)
    schema = pa.schema([("user", pa.int32()), ("item", pa.int32()), ("rating", pa.float64()), ("time", pa.int64())])
    with path.open("wb") as stream, csv.CSVWriter(stream, schema, write_options=plain) as file:
        stream.write(b"user,item,rating,time\n")
        for start in range(0, rows, CHUNK):
            n = min(CHUNK, rows - start)
            places = (start + np.sort(draw.random(n)) * n) / rows if by_user else draw.random(n)
            who = np.minimum(np.searchsorted(activity, places * activity[-1]), users - 1) + 1
            what = np.minimum(np.searchsorted(limits, draw.random(n)), items - 1) * 7 % (items + 1) + 1
            stars = draw.integers(1, 11, n) / 2
            when = draw.integers(789_652_009, 1_427_784_002, n)
            file.write(pa.table([who.astype(np.int32), what.astype(np.int32), stars, when], schema=schema))


def pandas_alone(path):

    step("read_csv", pd.read_csv, path)


def robench_whole(path):

    source = CsvFile.make(path=path, min_user_interactions=5, min_item_interactions=5)
    step("fingerprint", source.fingerprint)
    raw = step("load", source.load)
    data = step("prepare", prepare, raw, source.config, Part("leave-last-out", {"seed": 0}, "leave-last-out"))
    parts = [len(part) for part in (data.train, data.validation, data.test)]
    print(
        f"  {len(data.user_ids):,} users, {len(data.catalogue.ids):,} items, {sum(parts):,} of {len(raw.users):,} rows"
    )


def step(name, work, *given):
    """Runs one step, and prints its CPU seconds and the peak memory so far."""
    start = time.process_time()
    result = work(*given)
    print(f"  {name:12} {time.process_time() - start:7.1f} s   peak {peak():5.2f} GiB", flush=True)
    return result


def peak():
    """Returns the largest resident size of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(name, work, *given):
    """Returns the CPU seconds and the peak GiB of a call in a separate process."""
    print(name, flush=True)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sender, work, *given))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _report(sender, work, *given):
    start = time.process_time()
    work(*given)
    sender.send((time.process_time() - start, peak()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("rows", 20_000_000), ("users", 140_000), ("items", 27_000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--by-user", action="store_true", help="group the rows by user")
    parser.add_argument("--folder", type=Path, default=None, help="folder of the file, which is removed at the end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "ratings.csv"
        measure("file", write_file, path, given.rows, given.users, given.items, given.by_user)
        print(f"  {path.stat().st_size / 2**20:,.0f} MiB")
        base, base_memory = measure("pandas", pandas_alone, path)
        seconds, memory = measure("robench", robench_whole, path)
    print(
        f"pandas {base:.1f} s, {base_memory:.2f} GiB; robench {seconds:.1f} s, {memory:.2f} GiB; {seconds / base:.2f}x"
    )
    measured = {"ratio": seconds / base, "seconds": seconds, "GiB": memory}
    return int(any(measured[name] > most for name, most in MOST.items()))


if __name__ == "__main__":
    sys.exit(main())
