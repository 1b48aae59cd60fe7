"""Measures how much BERT4Rec gains from adversarial training.

    python tools/perf/bert4rec.py [--test] [--seeds 0] [NAME ...]

The script fits each setting of ``TRIALS``, or the named settings, once per seed. The data is MovieLens latest-small (at
least 5 ratings per user and 20 per item). Each fit uses one thread. The script prints NDCG@10 on the validation items,
clean, and under PGD-20 in L2 and in L∞. The attack's ε of 0.05 is relative to the size of the inputs. The training
items are the history. ``--test`` adds a line with the test items, for the same fit. In that line, the history also has
the validation items.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from robench.api import Rng
from robench.api.data import joined
from robench.engine.fit.loop import fit
from robench.engine.measure import MeasuredVictim
from robench.files.cache import Cache, default_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.data import prepare_data
from robench.spec import Part

DATA = {"min_user_interactions": 5, "min_item_interactions": 20, "min_rating": None}
LONG = {"epochs": 60, "min_epochs": 40, "patience": 8}
FORTY = {"epochs": 40, "min_epochs": 30, "patience": 8}


def trained(epsilon, warmup=0, norm="l2"):
    return "adversarial-training", {"norm": norm, "epsilon": epsilon, "warmup": warmup}


# name: (settings of the model, defence, its settings)
TRIALS = {
    "none": ({}, "none", {}),
    "none, 40 epochs": (FORTY, "none", {}),
    "none, 60 epochs": (LONG, "none", {}),
    "0.2": ({}, *trained(0.2)),
    "0.05": ({}, *trained(0.05)),
    "0.2, 60 epochs": (LONG, *trained(0.2)),
    "0.05, 60 epochs": (LONG, *trained(0.05)),
    "0.2, warm-up 14": ({}, *trained(0.2, 14)),
    "0.1, warm-up 14, 40 epochs": (FORTY, *trained(0.1, 14)),
    "0.2, warm-up 10, 60 epochs": (LONG, *trained(0.2, 10)),
    "0.2, warm-up 14, 60 epochs": (LONG, *trained(0.2, 14)),
    "0.2, warm-up 20, 60 epochs": (LONG, *trained(0.2, 20)),
    "0.1, warm-up 14, 60 epochs": (LONG, *trained(0.1, 14)),
    "0.4, warm-up 14, 60 epochs": (LONG, *trained(0.4, 14)),
}


def world():
    """Returns the registry and the prepared data."""
    registry = Registry.of(Host.discover())
    split, part = (
        Part("leave-last-out", {"seed": 0}, "leave-last-out"),
        Part("movielens-small", DATA, "movielens-small"),
    )
    return registry, prepare_data(part, split, registry, Path(), Cache(default_folder()))[1]


def fitted(registry, data, name, settings, defense, seed):
    """Returns the model to measure and a note on its fit."""
    start = time.perf_counter()
    model = registry.load("model", name).make(**settings)
    report = fit(model, data.train_data(), defense, Rng(seed).child("fit"), device=torch.device("cpu"))
    note = f"best epoch {report.best_epoch} of {report.epochs}, {time.perf_counter() - start:.0f} s"
    wraps = type(defense).overrides("wrap")
    return (defense.wrap(model, Rng(seed).child("wrap")) if wraps else model), note


def measured(registry, data, model, seed, test):
    """Returns NDCG@10 on clean inputs, under attack in l2, and under attack in linf.

    If ``test`` is true, the values are those of the test items, otherwise those of the validation items.
    """
    history, held = (joined(data.train, data.validation), data.test) if test else (data.train, data.validation)
    users = np.flatnonzero((held.lengths() > 0) & (data.train.lengths() > 0))
    bench = MeasuredVictim(model, history, held, users, seed)
    pgd = registry.load("attack", "pgd")
    attacked = [bench.attacked(pgd.make(norm=norm, steps=20), 0.05, norm) for norm in ("l2", "linf")]
    ranks = [found.arrays["ranks"] for found in (bench.clean(None), *attacked)]
    return [np.where(r <= 10, 1 / np.log2(1 + r), 0.0).mean() for r in ranks]


def show(label, values, note):
    """Prints the line of one measurement."""
    clean, l2, linf = values
    print(f"{label:42} clean {clean:.4f}  l2 {l2:.4f}  linf {linf:.4f}  {note}", flush=True)


def main():
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--test", action="store_true")
    options = parser.parse_args()
    registry, data = world()
    for name in options.names or TRIALS:
        settings, defense, passed = TRIALS[name]
        for seed in options.seeds:
            made = registry.load("defense", defense).make(**passed)
            model, note = fitted(registry, data, "bert4rec", settings, made, seed)
            for test in (False, True) if options.test else (False,):
                where = "test" if test else "validation"
                show(f"{name}, seed {seed}, {where}", measured(registry, data, model, seed, test), note)


if __name__ == "__main__":
    main()
