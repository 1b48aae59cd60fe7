"""Measures what dropout with 16-bit random numbers saves in training.

    python tools/perf/dropout.py FILE [--models sasrec bert4rec gru4rec] [--rounds 3]

FILE holds one user per line, such as Beauty.txt of Amazon Beauty. Each round trains every model for one epoch with the
dropout of robench and for one epoch with that of torch, in this process and on one thread. The script prints the CPU
time of the fastest round with each dropout. The exit code is 1 if an epoch of SASRec takes less than 1.1 times as long
with torch's dropout.
"""

import argparse
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn import functional

from robench.api import Defense, Rng
from robench.engine.data.prepare import prepare
from robench.engine.fit.loop import fit
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.spec import Part
from robench_plugins.datasets.sequences import Sequences
from robench_plugins.models import dropout

GOALS = {"sasrec": 1.1}
SETTINGS = {"sasrec": {"max_length": 50, "dropout": 0.5}}  # as in suites/beauty.yaml


@contextmanager
def dropout_of_torch():
    """Replaces the dropout of robench by that of torch while the block runs."""
    own = dropout.dropout
    dropout.dropout = functional.dropout
    try:
        yield
    finally:
        dropout.dropout = own


def epoch(cls, settings, data):
    """Returns the CPU seconds of one epoch."""
    model = cls.make(**settings, epochs=1, min_epochs=1, validate_every=2, validation_users=1)
    start = time.process_time()
    fit(model, data, Defense(), Rng(0), torch.device("cpu"))
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--models", nargs="+", default=["sasrec", "bert4rec", "gru4rec"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    source = Sequences.make(path=str(given.file))
    data = prepare(source.load(), source.config, Part("leave-last-out", {"seed": 0}, "leave-last-out")).train_data()
    registry, missed = Registry.of(Host.discover()), False
    print(f"{'model':12}{'16-bit draws':>14}{'torch':>10}{'ratio':>8}")
    for name in given.models:
        cls, settings = registry.load("model", name), SETTINGS.get(name, {})
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append(epoch(cls, settings, data))
            with dropout_of_torch():
                theirs.append(epoch(cls, settings, data))
        ratio = min(theirs) / min(ours)
        missed |= ratio < GOALS.get(name, 0)
        print(f"{name:12}{min(ours):12.2f} s{min(theirs):8.2f} s{ratio:7.2f}x", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
