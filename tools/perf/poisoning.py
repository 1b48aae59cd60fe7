"""Measures attacks with fake users on MovieLens 100K: seconds and effects.

    python tools/perf/poisoning.py ML100K_FOLDER [--out RESULTS.jsonl] [--sets 3] [--seeds 3]

ML100K_FOLDER holds ml-100k.inter. Items with fewer than 5 interactions are dropped. Each user's interactions are split
at random (8:1:1). The targets of a set are drawn uniformly over all items. Every attack makes profiles for every set,
seed and ε, and every victim is fitted on the poisoned data. For each attack, a table shows the CPU seconds of one
thread, the mean percentile of the targets (0 is the top of the list) and T-HR@50. Users who have a target do not count
for this target. A last line per victim shows NDCG@10.

``--out`` keeps every measurement as a line of JSON. Measurements that are in this file are not repeated, so an
interrupted run can go on. ``--attacks``, ``--victims`` and ``--epsilon`` restrict what is measured. The expected order
of the attacks is random-profiles, bandwagon, revadv, from the weakest to the strongest. Below each table, lines count
the sets and seeds in which this order holds. The weight decays of ``mf`` and ``ease`` are fixed. Validation on these
data would choose the same ones, at the cost of more fits. The exit code is 1 if 1% fake users need more than 0.1 s with
bandwagon, or more than 60 s with pga or revadv, with either surrogate.
"""

import argparse
import itertools
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from robench.api import Defense, Outcome, Rng
from robench.api.data import joined
from robench.engine.data.prepare import prepare
from robench.engine.data.targets import choose_targets
from robench.engine.fit.loop import fit
from robench.engine.fit.poisoning import poison
from robench.engine.measure import MeasuredVictim
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.spec import Part, TargetChoice
from robench_plugins.datasets.recbole import Recbole
from robench_plugins.metrics.ranking import Ndcg
from robench_plugins.metrics.targets import TargetHitRate, TargetPercentile

ATTACKS = {
    "random-profiles": ("random-profiles", {}),
    "bandwagon .5": ("bandwagon", {}),
    "bandwagon 1": ("bandwagon", {"popular_share": 1.0}),
    "segment": ("segment", {}),
    "copy-profile": ("copy-profile", {}),
    "revadv": ("revadv", {}),
    "revadv item-ae": ("revadv", {"surrogate": "item-ae"}),
    "pga": ("pga", {}),
    "dpa2dl": ("dpa2dl", {}),
    "rapu-r": ("rapu-r", {}),
    "revadv sharp": ("revadv", {"sharpness": 0.1}),
    "pga sharp": ("pga", {"sharpness": 0.1}),
}
VICTIMS = {"wmf": {}, "mf": {"weight_decay": 3e-5}, "ease": {"weight_decay": 300.0}}
ORDER = [["random-profiles"], ["bandwagon .5", "bandwagon 1"], ["revadv"]]
# for 1% fake users
MOST_SECONDS = {"bandwagon .5": 0.1, "bandwagon 1": 0.1, "revadv": 60.0, "revadv item-ae": 60.0, "pga": 60.0}
K = 50


def effect(victim, targets):
    """Returns the mean percentile of the targets, T-HR@50 and NDCG@10, by name.

    The values are means over real users. A percentile of 0 is the top of the list.
    """
    arrays = victim.clean(targets).arrays
    parts = [np.asarray(arrays[name]).astype(np.int64) for name in ("indptr", "ranks", "top", "candidates")]
    outcome = Outcome(*parts, np.asarray(arrays["target_ranks"]).astype(np.int64))
    metrics = {"percentile": (TargetPercentile, K), "hr": (TargetHitRate, K), "ndcg": (Ndcg, 10)}
    found = {name: float(cls.make().per_user(outcome, k).mean()) for name, (cls, k) in metrics.items()}
    return found | {"percentile": 1 - found["percentile"]}


def measure(given, done, keep):
    """Measures every case that is not done yet.

    Args:
        given: the options of the command line.
        done: the keys of the measurements that exist, as ``key`` returns them.
        keep: a function that takes a measurement and the CPU seconds of the attack.
    """
    registry = Registry.of(Host.discover())
    source = Recbole.make(path=given.source, min_item_interactions=5)
    split = Part("random-ratio", {"ratios": [0.8, 0.1, 0.1], "seed": 0}, "random-ratio")
    data = prepare(source.load(), source.config, split)
    train, history, users = data.train_data(), joined(data.train, data.validation), np.arange(data.train.n_users)
    sets = choose_targets(data.train, TargetChoice(count=5, pick="all", sets=given.sets))
    print(f"{train.n_users} users x {train.n_items} items, {len(data.train)} training interactions")
    for number, targets in enumerate(sets):
        print(f"set {number}: training counts {data.train.counts()[targets].tolist()}")
    cases = [("clean", 0.0), *((name, epsilon) for epsilon in given.epsilon for name in given.attacks)]
    for seed, number, (name, epsilon) in itertools.product(range(given.seeds), range(given.sets), cases):
        missing = [victim for victim in given.victims if (name, epsilon, number, seed, victim) not in done]
        if not missing:
            continue
        targets, poisoned, seconds = sets[number], data.train, 0.0
        if name != "clean":
            plugin, settings = ATTACKS[name]
            attack = registry.load("attack", plugin).make(**settings)
            start = time.process_time()
            poisoned = poison(
                attack,
                data.train,
                targets=targets,
                epsilon=epsilon,
                rng=Rng(seed).child("attack"),
                catalogue=train.catalogue,
            ).train
            seconds = time.process_time() - start
        for victim in missing:
            model = registry.load("model", victim).make(**VICTIMS[victim])
            attacked = replace(train, train=poisoned)
            fit(model, attacked, Defense(), Rng(seed).child("fit"), device=torch.device("cpu"))
            found = effect(MeasuredVictim(model, history, data.test, users, seed), targets)
            keep({"attack": name, "epsilon": epsilon, "set": number, "seed": seed, "victim": victim} | found, seconds)


def key(line):
    return line["attack"], line["epsilon"], line["set"], line["seed"], line["victim"]


def show(lines, given):
    """Prints means over sets and seeds, and how often the expected order holds.

    ``lines`` holds the measurements, and ``given`` holds the options of the command line.
    """
    for epsilon in given.epsilon:
        print(f"\n{epsilon:.0%} fake users: percentile (T-HR@{K}) of each victim, and seconds")
        print(f"| attack | {' | '.join(given.victims)} | seconds |\n|{'---|' * (len(given.victims) + 2)}")
        for name in ("clean", *given.attacks):
            mine = [one for one in lines if one["attack"] == name and one["epsilon"] in (epsilon, 0.0)]
            cells = []
            for victim in given.victims:
                own = [one for one in mine if one["victim"] == victim]
                mean = {part: np.mean([one[part] for one in own]) if own else np.nan for part in ("percentile", "hr")}
                cells.append(f"{mean['percentile']:.3f} ({mean['hr']:.3f})")
            seconds = np.mean([one["seconds"] for one in mine]) if mine else np.nan
            print(f"| {name} | {' | '.join(cells)} | {seconds:.1f} |")
        for victim, part in itertools.product(given.victims, ("percentile", "hr")):
            words = order(lines, epsilon, victim, part)
            if words:
                print(f"{victim}, {part}: {words}")
    for victim in given.victims:
        means = []
        for name in ("clean", *given.attacks):
            own = [one["ndcg"] for one in lines if (one["attack"], one["victim"]) == (name, victim)]
            means += [f"{name} {np.mean(own):.4f}"] if own else []
        print(f"NDCG@10 on {victim}: {', '.join(means)}")


def order(lines, epsilon, victim, part):
    """Returns in words how many sets and seeds have the expected order of attacks.

    ``part`` names the compared number, ``percentile`` or ``hr``. The result is empty if no two attacks were measured on
    the same set and seed.
    """
    value = {key(one): one[part] * (1 if part == "percentile" else -1) for one in lines}
    cases = sorted({(one["set"], one["seed"]) for one in lines})
    words = []
    for weaker, stronger in itertools.pairwise(ORDER):
        gaps = []
        for number, seed in cases:
            pair = [[value.get((name, epsilon, number, seed, victim)) for name in some] for some in (weaker, stronger)]
            if all(one is not None for some in pair for one in some):
                gaps.append(min(pair[0]) - min(pair[1]))
        if not gaps:
            continue
        error = np.std(gaps, ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else np.nan
        words.append(
            f"{' or '.join(stronger)} beats {' and '.join(weaker)} in {sum(gap > 0 for gap in gaps)} of {len(gaps)}, "
            f"by {np.mean(gaps):.3f} ± {error:.3f}"
        )
    return "; ".join(words)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.01, 0.05])
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = (
        [json.loads(line) for line in given.out.read_text().splitlines()] if given.out and given.out.exists() else []
    )

    def keep(line, seconds):
        lines.append(line | {"seconds": seconds})
        if given.out:
            with given.out.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")

    measure(given, {key(line) for line in lines}, keep)
    show(lines, given)
    return int(any(one["seconds"] > MOST_SECONDS.get(one["attack"], np.inf) for one in lines if one["epsilon"] <= 0.01))


if __name__ == "__main__":
    sys.exit(main())
