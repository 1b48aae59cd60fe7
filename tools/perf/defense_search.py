"""Compares settings of adversarial training on validation items.

    python tools/perf/defense_search.py [model ...]

The validation items are the held-out items, and the training items are the history. The test items are not read. For
each model and setting, the script prints NDCG@10: clean, and under PGD-10 at ε = 0.05 in L2 and in L∞. The values are
means over the seeds 0 to 2.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from robench.api import Defense, Rng
from robench.engine.fit.loop import fit
from robench.engine.measure import MeasuredVictim
from robench.files.cache import Cache, default_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.data import prepare_data
from robench.spec import Part
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.defenses.adversarial_training import AdversarialTraining

DATA = {"min_user_interactions": 5, "min_item_interactions": 20, "min_rating": None}
SETTINGS = [("linf", 0.05), ("l2", 0.05), ("l2", 0.1), ("l2", 0.2)]


def gains(ranks):
    return np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)


def main(models):
    torch.set_num_threads(1)
    registry = Registry.of(Host.discover())
    split = Part("leave-last-out", {"seed": 0}, "leave-last-out")
    part = Part("movielens-small", DATA, "movielens-small")
    _, data = prepare_data(part, split, registry, Path(), Cache(default_folder()))
    users = np.flatnonzero(data.validation.lengths() > 0)
    defenses = {"none": Defense()} | {
        f"{norm} {epsilon}": AdversarialTraining.make(**{"lambda": 0.5, "norm": norm, "epsilon": epsilon})
        for norm, epsilon in SETTINGS
    }
    for name in models:
        for label, defense in defenses.items():
            found = []
            for seed in (0, 1, 2):
                model = registry.load("model", name)()
                fit(model, data.train_data(), defense, Rng(seed).child("fit"), device=torch.device("cpu"))
                bench = MeasuredVictim(model, data.train, data.validation, users, seed)
                row = [gains(bench.clean(None).arrays["ranks"]).mean()]
                for norm in ("l2", "linf"):
                    ranks = bench.attacked(Pgd.make(norm=norm, steps=10), 0.05, norm).arrays["ranks"]
                    row.append(gains(ranks).mean())
                found.append(row)
            clean, l2, linf = np.mean(found, axis=0)
            print(f"{name:10} {label:10} clean {clean:.4f}  l2 {l2:.4f}  linf {linf:.4f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["mf", "lstm"])
