"""Judges claims about the suites default and proof from their records.

    python tools/perf/claims.py results/default results/proof

Every line holds a claim, its numbers, and whether the numbers support the claim. Intervals are 95% intervals, paired
over users and seeds. The exit code is 1 if a claim fails and is not a known exception.
"""

import re
import sys
from pathlib import Path

import numpy as np

from robench.api.metric import Measure
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.tables.build import build_tables
from robench.tables.results import read_results
from robench.tables.stats import compute_interval, estimate_mean

METRIC = Measure("ndcg", 10)
EPSILONS = (0.01, 0.05, 0.1)
# The claims that do not hold according to the README, and the reasons.
KNOWN = {
    r"mf λ=0\.75 raises the (l2|linf) worst case": "three seeds do not tell it from its twin",
    r"mf λ=0\.5 raises the linf worst case": "trained in l2; three seeds do not tell it from its twin",
    r"mf bandwagon ε=0\.01 lifts t-percentile": "too few targets; suites/poisoning-attacks.yaml has 20",
    r"bert4rec λ=0\.5 raises the linf worst case": "trained in l2; three seeds do not tell it from its twin",
    r"\S+ bandwagon ε=\S+ lifts t-hr@(10|50)": "the targets rise in rank, but hardly into anybody's top list",
}


def matrices(folder: Path):
    """Returns the values and the queries of the measured cells, and all tables.

    The values are the users' NDCG@10: {(model, λ): {(attack and norm, ε): [S, U]}}, for S seeds and U users. The
    numbers of queries have the same keys, and are lists with one entry per seed. Cells of attacks on the training are
    left out.
    """
    registry = Registry.of(Host.discover())
    names = ("ndcg", "recall", "hr", "mrr", "rbo", "jaccard", "t-hr", "t-ndcg", "t-percentile")
    metrics = {name: registry.load("metric", name)() for name in names}
    results = read_results(folder, metrics)
    found, spent = {}, {}
    for c in sorted((c for c in results.cells if results.ok(c) and c.stage != "train"), key=lambda c: c.seed):
        values = results.per_user(c, METRIC)
        key = (c.attack + (f"-{c.norm}" if c.norm else ""), c.epsilon)
        who = c.key.model_label, c.key.lambda_
        found.setdefault(who, {}).setdefault(key, []).append(values)
        queries = results.record(c)["achieved"].get("queries", 0)
        spent.setdefault(who, {}).setdefault(key, []).append(queries)
    tables = build_tables(folder, metrics)
    return {who: {key: np.stack(v) for key, v in cells.items()} for who, cells in found.items()}, spent, tables


def known(claim):
    """Returns the known reason why a claim does not hold, or an empty string."""
    return next((why for pattern, why in KNOWN.items() if re.fullmatch(pattern, claim)), "")


def say(claim, holds, *numbers):
    """Prints a claim and returns the number of new failures.

    Returns:
        1 if the claim fails and is not a known exception, else 0.
    """
    why = "" if holds else known(claim)
    verdict = "yes" if holds else "no " if why else "NO "
    print(f"{verdict}  {claim}: {' '.join(numbers)}{f' ({why})' if why else ''}")
    return int(not holds and not why)


def show(gap):
    return f"{gap.mean:+.4f} [{gap.low:.4f}, {gap.high:.4f}]"


def clean_and_attacked(model, own, line):
    """Compares clean and attacked values, and returns the number of new failures.

    The model must beat popularity, the values must fall with ε, and PGD must not be weaker than FGSM.

    Args:
        model: The name of the model.
        own: The values of the undefended model by (attack and norm, ε), each [S, U].
        line: The clean values of popularity, [S, U].
    """
    clean = own["none", 0.0]
    gap = compute_interval(clean - line)
    wrong = say(f"{model} above popularity", gap.low > 0, f"{clean.mean():.4f} against {line.mean():.4f},", show(gap))
    for attack in ("fgsm-linf", "pgd-linf", "pgd-l2", "cw-l2"):
        path = [clean.mean(), *(own[attack, e].mean() for e in EPSILONS)]
        falls = path == sorted(path, reverse=True) and path[-1] < path[0]
        wrong += say(f"{model} {attack} falls with ε", falls, *(f"{v:.4f}" for v in path))
    weaker = [own["pgd-linf", e].mean() - own["fgsm-linf", e].mean() for e in EPSILONS]
    return wrong + say(f"{model} PGD ≤ FGSM + 1e-3", max(weaker) <= 1e-3, *(f"{v:+.4f}" for v in weaker))


def defended(model, cells):
    """Compares the worst cases of a defended model with those of the undefended one.

    Returns:
        The number of failures that are not known exceptions.
    """
    wrong = 0
    for norm, names in (("l2", ("pgd-l2", "cw-l2")), ("linf", ("fgsm-linf", "pgd-linf"))):
        worst = {}
        for weight in (1.0, 0.75, 0.5):
            own = cells.get((model, weight))
            if own:
                attacked = [own[name, e] for name in names for e in EPSILONS[:2]]
                worst[weight] = np.min([own["none", 0.0], *attacked], axis=0)
        for weight in (w for w in (0.75, 0.5) if w in worst):
            difference = worst[weight] - worst[1.0]
            p = estimate_mean(difference).compute_p()
            holds = difference.mean() > 0 and p < 0.05
            means = f"{worst[1.0].mean():.4f} -> {worst[weight].mean():.4f},"
            numbers = means, show(compute_interval(difference)), f"p = {p:.4f}"
            wrong += say(f"{model} λ={weight} raises the {norm} worst case", holds, *numbers)
    return wrong


def against_noise(model, own, spent):
    """Judges whether FGSM and PGD beat random points without more evaluations.

    Returns:
        The number of failures that are not known exceptions.
    """
    wrong = 0
    for name in (f"{attack}-{norm}" for attack in ("fgsm", "pgd") for norm in ("linf", "l2")):
        floor = f"random-noise-{name.partition('-')[2]}", 0.05
        noise, mine = own.get(floor), own.get((name, 0.05))
        if noise is not None and mine is not None:
            gap = compute_interval(noise - mine)
            numbers = f"clean {own['none', 0.0].mean():.4f}, noise {noise.mean():.4f}, attack {mine.mean():.4f},"
            wrong += say(f"{model} {name} below random noise at 0.05", gap.low > 0, numbers, show(gap))
            draws, steps = np.mean(spent[floor]), np.mean(spent[name, 0.05])
            fair = f"{model} {name} spends no more evaluations than the noise"
            wrong += say(fair, draws >= steps, f"noise {draws:.0f}, attack {steps:.0f}")
    return wrong


def main(default: Path, proof: Path | None) -> int:
    """Judges and prints every claim.

    Returns:
        The number of failures that are not known exceptions.
    """
    cells, _, tables = matrices(default)
    line = cells["popularity", 1.0]["none", 0.0]
    wrong = 0
    for model in ("mf", "lstm", "bert4rec"):
        wrong += clean_and_attacked(model, cells[model, 1.0], line)
        wrong += defended(model, cells)
    for row in tables.poisoning:
        if str(row.metric) in ("t-percentile", "t-hr@10", "t-hr@50") and row.key.lambda_ == 1:
            effect, control = row.effect, row.control
            numbers = f"{effect[0]:+.4f} [{effect[1]:.4f}, {effect[2]:.4f}] beside [{control[1]:.4f}, {control[2]:.4f}]"
            name = f"{row.key.model_label} bandwagon ε={row.epsilon:g} lifts {row.metric}"
            wrong += say(name, row.verdict == "rises", numbers)
    if proof is not None:
        found, spent, _ = matrices(proof)
        for who, own in found.items():
            wrong += against_noise(who[0], own, spent[who])
    return wrong


if __name__ == "__main__":
    failures = main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    sys.exit(1 if failures else 0)
