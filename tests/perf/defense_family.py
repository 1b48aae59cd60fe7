"""The adversarial training family at its defaults: python tests/perf/defense_family.py [--test] [--seeds N] [MODEL]

Prints NDCG@10 clean and under PGD-20 at ε = 0.05 of the RMS in both norms per model, defence and seed, and means;
data and measurement as in ``bert4rec.py`` beside it. ``--test`` measures test items instead of validation items.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from bert4rec import fitted, measured, show, world  # the script beside this one

MEMBERS = {
    "none": ("none", {}),
    "adversarial-training": ("adversarial-training", {}),
    "the same, noise 2": ("adversarial-training", {"noise": 2.0}),
    "vat": ("vat", {}),
    "apr, relative 0.2": ("apr", {"scale": "relative", "epsilon": 0.2}),
    "gaussian": ("gaussian", {}),
}


def main():
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--test", action="store_true")
    options = parser.parse_args()
    registry, data = world()
    for name in options.models or ["mf", "lstm"]:
        for label, (defense, passed) in MEMBERS.items():
            found = []
            for seed in options.seeds:
                made = registry.load("defense", defense).make(**passed)
                model, note = fitted(registry, data, name, {}, made, seed)
                found.append(measured(registry, data, model, seed, options.test))
                show(f"{name}, {label}, seed {seed}", found[-1], note)
            show(f"{name}, {label}, mean", np.mean(found, axis=0), "")


if __name__ == "__main__":
    main()
