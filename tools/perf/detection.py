"""Prints how well detectors find fake users, and what the detectors cost.

    python tools/perf/detection.py FOLDER [--seeds 0 1 2] [--attack NAME ...] [--epsilon 0.01 0.05]
        [--detector NAME ...] [--cost MODEL ...] [--draws N]

FOLDER holds ml-100k.inter of MovieLens 100K in RecBole's format. Users and items need at least 5 interactions. The
split is leave-last-out, and the detectors see the training items. Each attack promotes 5 items. Every seed draws other
targets from all items. The script prints a line per attack, ε and detector, and a line per detector on clean data. Each
line holds means over seeds:

- the AUROC and the average precision of the suspicion scores
- the precision and the recall of the dropped users, and the share of real users that were dropped

``--cost`` fits models on clean data, first without and then with each detector. The script then prints NDCG@10 on the
test items. With a detector, it also prints the difference, and the 95% interval of the difference over seeds and users.

``--draws`` repeats the detection of each poisoned data set N times with other random numbers. The script then prints
the smallest and the largest AUROC over the draws, for the first of the seeds.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from robench.api import Defense, Rng
from robench.api.data import joined
from robench.engine.data.targets import choose_targets
from robench.engine.fit.loop import fit
from robench.engine.fit.poisoning import poison
from robench.engine.fit.sanitising import sanitise
from robench.engine.measure import MeasuredVictim
from robench.files.cache import Cache, default_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.data import prepare_data
from robench.spec import Part, TargetChoice
from robench.store.detection import measure_detection
from robench.tables.stats import compute_interval

ATTACKS = {
    "random-profiles": ("random-profiles", {}),
    "bandwagon, half popular": ("bandwagon", {"popular": 0.5}),
    "bandwagon, all popular": ("bandwagon", {"popular": 1.0}),
    "segment": ("segment", {}),
    "copy-profile": ("copy-profile", {}),
    "revadv": ("revadv", {}),
    "pga": ("pga", {}),
}
DETECTORS = {
    "pca-varselect": ("pca-varselect", {}),
    "degree-sad": ("degree-sad", {}),
    "near-duplicate": ("near-duplicate", {}),
    "fap": ("fap", {}),
    "fap after pca": ("fap", {"seeded_by": "pca-varselect"}),
}
NONE = Defense()
SHARES = ("auroc", "average_precision", "precision", "recall", "false_alarms")


def world(folder):
    """Returns the registry and the prepared data."""
    registry = Registry.of(Host.discover())
    config = {"path": str(Path(folder).resolve()), "min_user_interactions": 5, "min_item_interactions": 5}
    resolved = registry.load("dataset", "recbole").Config.model_validate(config).resolved()
    parts = Part("recbole", resolved, "ml-100k"), Part("leave-last-out", {"seed": 0}, "leave-last-out")
    return registry, prepare_data(*parts, registry, Path(), Cache(default_folder()))[1]


def detect(detector, train, n_real, seed):
    """Returns the numbers that describe how well a detector finds fake users.

    Args:
        detector: the defence.
        train: the training data. The first ``n_real`` rows belong to real users, and the others to fake users.
        n_real: the number of real users.
        seed: the seed of the defence.
    """
    result = sanitise(detector, train, Rng(seed))
    return measure_detection(result.suspicion, result.flagged, n_real)


def show(label, epsilon, name, numbers):
    """Prints the means of one detector under one attack.

    Args:
        label: the name of the attack.
        epsilon: the budget of the attack.
        name: the name of the detector.
        numbers: the result of ``detect`` for each seed. Values that are None are left out of the means.
    """
    defined = {share: [one[share] for one in numbers if one[share] is not None] for share in SHARES}
    means = [f"{np.mean(values):.3f}" if values else "  –  " for values in defined.values()]
    print(f"{label:24} {epsilon:5g}  {name:15} " + "  ".join(f"{mean:>7}" for mean in means), flush=True)


def ndcg(data, model_class, seed, train):
    """Returns each user's NDCG@10 on the test items after a fit on ``train``."""
    model = model_class.make()
    fitting = data.train_data()
    fit(model, type(fitting)(**{**vars(fitting), "train": train}), NONE, Rng(seed).child("fit"), torch.device("cpu"))
    users = np.flatnonzero((data.test.lengths() > 0) & (data.train.lengths() > 0))
    victim = MeasuredVictim(model, joined(data.train, data.validation), data.test, users, seed)
    ranks = victim.clean(None).arrays["ranks"]
    return np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)


def main():
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--attack", nargs="*", default=list(ATTACKS), choices=ATTACKS)
    parser.add_argument("--epsilon", nargs="*", type=float, default=[0.01, 0.05])
    parser.add_argument("--detector", nargs="*", default=list(DETECTORS), choices=DETECTORS)
    parser.add_argument("--cost", nargs="*", default=[])
    parser.add_argument("--draws", type=int, default=0)
    options = parser.parse_args()
    registry, data = world(options.folder)
    train, n_real = data.train, data.train.n_users
    chosen = {label: DETECTORS[label] for label in options.detector}
    detectors = {label: registry.load("defense", name).make(**config) for label, (name, config) in chosen.items()}
    print(f"{n_real} users, {train.n_items} items, {len(train)} training interactions")
    print(f"{'attack':24} {'ε':>5}  {'detector':15} " + "  ".join(f"{share[:7]:>7}" for share in SHARES))
    for name, detector in detectors.items():
        show("none", 0, name, [detect(detector, train, n_real, seed) for seed in options.seeds])
    sets = choose_targets(train, TargetChoice(5, "all", max(options.seeds, default=0) + 1)) if options.attack else []
    for label in options.attack:
        kind, config = ATTACKS[label]
        attack = registry.load("attack", kind).make(**config)
        for epsilon in options.epsilon:
            poisoned = {
                seed: poison(attack, train, targets=sets[seed], epsilon=epsilon, rng=Rng(seed).child("poison")).train
                for seed in options.seeds
            }
            for name, detector in detectors.items():
                show(label, epsilon, name, [detect(detector, rows, n_real, seed) for seed, rows in poisoned.items()])
                if options.draws:
                    first = poisoned[options.seeds[0]]
                    drawn = [detect(detector, first, n_real, 100 + draw)["auroc"] for draw in range(options.draws)]
                    print(f"{'':31} {name:15} {options.draws} draws: {min(drawn):.3f} to {max(drawn):.3f}", flush=True)
    for model in options.cost:
        kind = registry.load("model", model)
        plain = np.stack([ndcg(data, kind, seed, train) for seed in options.seeds])
        print(f"{model:12} undefended      ndcg@10 {plain.mean():.4f}", flush=True)
        for name, detector in detectors.items():
            kept = [sanitise(detector, train, Rng(seed)).train for seed in options.seeds]
            values = np.stack([ndcg(data, kind, seed, rows) for seed, rows in zip(options.seeds, kept, strict=True)])
            gap = compute_interval(values - plain)
            print(
                f"{model:12} {name:15} ndcg@10 {values.mean():.4f}  {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
            )


if __name__ == "__main__":
    main()
