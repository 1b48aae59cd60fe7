"""Compares the defences of the adversarial training family.

    python tools/perf/defense_family.py [--test] [--search] [--only LABEL ...] [--seeds 0 1 2] [--workers 1] [MODEL ...]

The script prints NDCG@10 per model, defence and seed, and the means. The values are clean, and under PGD-20 in L2 and
in L∞. Data and measurement are those of ``bert4rec.py`` in the same folder. ``--test`` measures test items instead of
validation items.

``--search`` tries the same four values of ε in training for every defence of suites/whitebox.yaml. The script then
names the best trial of each defence. Each trial has a share: the value left under attack, divided by the value left
without a defence. Before the division, the values under the L2 and the L∞ attack are summed. The best trial has the
largest sum of shares over models.

``--only`` keeps only the defences with these labels, and the undefended model.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from bert4rec import fitted, measured, show, world  # the script in the same folder

MEMBERS = {
    "none": ("none", {}),
    "adversarial-training": ("adversarial-training", {}),
    "the same, noise 2": ("adversarial-training", {"noise": 2.0}),
    "vat": ("vat", {}),
    "apr, relative 0.2": ("apr", {"scale": "relative", "epsilon": 0.2}),
    "gaussian": ("gaussian", {}),
    "trades": ("trades", {}),
    "sam": ("sam", {}),
}
TRIALS = (0.05, 0.1, 0.2, 0.4)
SEARCHED = {
    "fgsm training": ("adversarial-training", {"norm": "l2"}),
    "pgd training": ("adversarial-training", {"norm": "l2", "inner": "pgd", "steps": 3}),
    "hinge training": ("adversarial-training", {"norm": "l2", "loss": "hinge"}),
    "apr": ("apr", {"scale": "relative"}),
    "vat": ("vat", {}),
    "gaussian": ("gaussian", {}),
    "trades": ("trades", {"steps": 3}),
    "sam": ("sam", {}),
}


def one(job):
    """Fits and measures one victim.

    Args:
        job: the name of the model, the name and the settings of the defence, the seed, and whether to measure the test
            items.

    Returns:
        The values (clean, l2, linf) and a note.
    """
    model, (defense, passed), seed, test = job
    torch.set_num_threads(1)
    registry, data = world()
    made = registry.load("defense", defense).make(**passed)
    fit, note = fitted(registry, data, model, {}, made, seed)
    return measured(registry, data, fit, seed, test), note


def members(search, only):
    """Returns a defence and its settings for each label.

    Args:
        search: whether to try several values of ε.
        only: the labels to keep in addition to ``none``, or an empty list for all.
    """
    if not search:
        return {label: member for label, member in MEMBERS.items() if not only or label in ("none", *only)}
    trials = {
        f"{label} {epsilon}": (kind, {**passed, "epsilon": epsilon})
        for label, (kind, passed) in SEARCHED.items()
        for epsilon in TRIALS
        if not only or label in only
    }
    return {"none": ("none", {}), **trials}


def choose(models, only):
    """Prints the best trial of each defence.

    Args:
        models: the mean values (clean, l2, linf) by model name and label.
        only: the labels of the defences, or an empty list for all.
    """
    for label in only or SEARCHED:
        shares = {
            e: sum(sum(means[f"{label} {e}"][1:]) / sum(means["none"][1:]) for means in models.values()) for e in TRIALS
        }
        told = "  ".join(f"{epsilon}: {share:.3f}" for epsilon, share in shares.items())
        print(f"{label:16} {told}  best {max(shares, key=shares.get)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--only", nargs="*", default=[], choices=sorted({*SEARCHED, *MEMBERS}), metavar="LABEL")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        models = {name: {} for name in options.models or ["mf", "lstm"]}
        for name, means in models.items():
            chosen = members(options.search, options.only)
            jobs = [(name, member, seed, options.test) for member in chosen.values() for seed in options.seeds]
            results = pool.map(one, jobs)
            for label in chosen:
                found = []
                for seed in options.seeds:
                    values, note = next(results)
                    found.append(values)
                    show(f"{name}, {label}, seed {seed}", values, note)
                means[label] = np.mean(found, axis=0)
                show(f"{name}, {label}, mean", means[label], "")
        if options.search:
            choose(models, options.only)


if __name__ == "__main__":
    main()
