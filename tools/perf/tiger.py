"""Compares the training time of tiger with that of sasrec.

    python tools/perf/tiger.py [--epochs 2] [--most 6]

The data is MovieLens latest-small (at least 5 interactions per user and 20 per item). Both models have their default
settings, one thread, and the same users. An epoch is one pass over the training data without validation. The models
take turns, and the table shows the CPU time of the fastest epoch of each.

The exit code is 1 if an epoch of tiger takes more than ``most`` times as long.
"""

import argparse
import sys
import time

import torch

from robench.api import Defense, Rng, TrainData
from robench.engine.data.prepare import prepare
from robench.engine.fit.training import Training
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.spec import Part

SPLIT = Part("leave-last-out", {"seed": 0}, "leave-last-out")
MODELS = ("sasrec", "tiger")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--most", type=float, default=6.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.of(Host.discover())
    source = registry.load("dataset", "movielens-small").make(min_user_interactions=5, min_item_interactions=20)
    data = prepare(source.load(), source.config, SPLIT)
    seen = TrainData(data.train, data.validation, data.catalogue)
    trainings = {
        name: Training(
            registry.load("model", name).make(), seen, Defense(), Rng(0).child("fit"), torch.device("cpu"), quiet
        )
        for name in MODELS
    }
    best = dict.fromkeys(MODELS, float("inf"))
    for _ in range(given.epochs):
        for name, training in trainings.items():
            start = time.process_time()
            training._run_epoch()
            best[name] = min(best[name], time.process_time() - start)
    ratio = best["tiger"] / best["sasrec"]
    print("| model | seconds per epoch |")
    print("|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {seconds:.2f} |")
    print(f"tiger takes {ratio:.1f} times as long as sasrec (at most {given.most})")
    return int(ratio > given.most)


def quiet(done, of):
    """Ignores the progress of a training."""


if __name__ == "__main__":
    sys.exit(main())
