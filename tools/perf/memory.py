"""Measures the peak memory and the CPU seconds of models on sequences.

    python tools/perf/memory.py FILE [--only mf sasrec] [--epochs 1] [--users 2048]

FILE holds one user per line: `user item item ...`, such as Amazon Beauty of S3-Rec (22,363 users x 12,101 items). The
split is leave-last-out. For each model, a new process on one thread prepares the data, fits the model, and measures the
clean ranks of all users. A neural model is fitted for ``--epochs`` epochs, with validation. If the model has embedded
inputs, PGD with two steps attacks the first ``--users`` users. Each line shows the CPU seconds of the fit and of the
clean cell, and the peak resident memory in GiB after each step. The column ``declared`` holds the memory that the model
declares beforehand. The exit code is 1 if a model needs more than 3 GiB and exceeds its declaration by more than 0.5
GiB, or if a process fails.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from robench.api import Defense, Rng
from robench.api.data import joined
from robench.engine.data.prepare import prepare
from robench.engine.fit.loop import fit
from robench.engine.measure import MeasuredVictim
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.spec import Part
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.datasets.sequences import Sequences

GIB, MOST = 2**30, 3.0
MODELS = [
    "popularity",
    "user-knn",
    "item-knn",
    "ease",
    "wmf",
    "mf",
    "neumf",
    "multi-vae",
    "lightgcn",
    "lstm",
    "gru4rec",
    "sasrec",
    "bert4rec",
]


def peak():
    """Returns the peak resident memory of this process, in GiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def measure(file, name, epochs, users):
    """Prints the numbers of one model as JSON."""
    torch.set_num_threads(1)
    source = Sequences.make(path=file)
    data = prepare(source.load(), source.config, Part("leave-last-out", {"seed": 0}, "leave-last-out"))
    cls = Registry.of(Host.discover()).load("model", name)
    model = cls.make(**({"epochs": epochs} if cls.neural else {}))
    rows, held = data.train_data(), data.test
    numbers = {"data": peak()}
    start = time.process_time()
    fit(model, rows, Defense(), Rng(0), torch.device("cpu"))
    numbers |= {"fit_seconds": time.process_time() - start, "fit": peak()}
    start = time.process_time()
    history, everyone = joined(data.train, data.validation), np.arange(rows.n_users)
    MeasuredVictim(model, history, held, everyone, 0).clean(None)
    numbers |= {"clean_seconds": time.process_time() - start, "clean": peak()}
    if "embedding" in cls.surfaces:
        victim = MeasuredVictim(model, history, held, everyone[:users], 0)
        victim.attacked(Pgd.make(steps=2, norm="l2"), 0.05, "pgd")
        numbers["pgd"] = peak()
    needed = model.declared_memory(rows.n_users, rows.n_items, len(rows.train))
    numbers["declared"] = needed / GIB or None
    print(json.dumps(numbers))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=MODELS)
    for name, value in (("epochs", 1), ("users", 2048)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure(given.file, given.one, given.epochs, given.users)
        return 0
    columns = ["fit_seconds", "clean_seconds", "data", "fit", "clean", "pgd", "declared"]
    print(f"{'model':12}" + "".join(f"{name:>15}" for name in columns), flush=True)
    missed = 0
    for name in given.only:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", name]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            print(f"{name:12} failed: {result.stderr.strip().splitlines()[-1]}", flush=True)
            missed += 1
            continue
        numbers = json.loads(result.stdout)
        cells = [numbers.get(column) for column in columns]
        print(f"{name:12}" + "".join(f"{'' if cell is None else round(cell, 2):>15}" for cell in cells), flush=True)
        missed += max(numbers["clean"], numbers.get("pgd", 0)) > max(MOST, 0.5 + (numbers["declared"] or 0))
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
