"""Judge the claims of the default suite from its records: python tests/perf/claims.py results/default results/proof.

Every line is a claim, its numbers, and whether they bear it out (95% intervals, paired over users and seeds).
"""

import sys
from pathlib import Path

import numpy as np

from robench.host import Host
from robench.leaderboard import build_tables
from robench.registry import Registry
from robench.results import Results, row_of
from robench.stats import interval, paired_p

METRIC = "ndcg@10"
EPSILONS = (0.01, 0.05, 0.1)


def matrices(folder: Path):
    """{(model, λ): {(attack label, ε): [S, U]}}; clean under ("none", 0)."""
    registry = Registry.of(Host.discover())
    names = ("ndcg", "recall", "hr", "mrr", "rbo", "jaccard", "t-hr", "t-ndcg", "t-percentile")
    metrics = {name: registry.load("metric", name)() for name in names}
    results = Results(folder, metrics)
    found = {}
    for c in sorted((c for c in results.cells if results.ok(c) and c["stage"] != "train"), key=lambda c: c["seed"]):
        values = results.per_user(c, METRIC)
        key = (c["attack"] + (f"-{c['norm']}" if c["norm"] else ""), c["epsilon"])
        found.setdefault((row_of(c)[3], c["lambda"]), {}).setdefault(key, []).append(values)
    tables = build_tables(folder, metrics)
    return {who: {key: np.stack(v) for key, v in cells.items()} for who, cells in found.items()}, tables


def say(claim, holds, *numbers):
    print(f"{'yes' if holds else 'NO '}  {claim}: {' '.join(numbers)}")


def show(gap):
    return f"{gap.mean:+.4f} [{gap.low:.4f}, {gap.high:.4f}]"


def clean_and_attacked(model, own, line):
    """Above popularity, falling with ε, PGD against FGSM."""
    clean = own["none", 0.0]
    gap = interval(clean - line)
    say(f"{model} above popularity", gap.low > 0, f"{clean.mean():.4f} against {line.mean():.4f},", show(gap))
    for attack in ("fgsm-linf", "pgd-linf", "pgd-l2", "cw-l2"):
        path = [clean.mean(), *(own[attack, e].mean() for e in EPSILONS)]
        say(f"{model} {attack} falls with ε", path == sorted(path, reverse=True), *(f"{v:.4f}" for v in path))
    weaker = [own["pgd-linf", e].mean() - own["fgsm-linf", e].mean() for e in EPSILONS]
    say(f"{model} PGD ≤ FGSM + 1e-3", max(weaker) <= 1e-3, *(f"{v:+.4f}" for v in weaker))


def defended(model, cells):
    """The worst case at the headline ε against the undefended twin."""
    for norm, names in (("l2", ("pgd-l2", "cw-l2")), ("linf", ("fgsm-linf", "pgd-linf"))):
        worst = {}
        for weight in (1.0, 0.75, 0.5):
            own = cells.get((model, weight))
            if own:
                attacked = [own[name, e] for name in names for e in EPSILONS[:2]]
                worst[weight] = np.min([own["none", 0.0], *attacked], axis=0)
        for weight in (w for w in (0.75, 0.5) if w in worst):
            difference = worst[weight] - worst[1.0]
            p = paired_p(difference.mean(0))
            holds = difference.mean() > 0 and p < 0.05
            means = f"{worst[1.0].mean():.4f} -> {worst[weight].mean():.4f},"
            say(
                f"{model} λ={weight} raises the {norm} worst case",
                holds,
                means,
                show(interval(difference)),
                f"p = {p:.4f}",
            )


def against_noise(model, own):
    """FGSM and PGD below random points with as many evaluations."""
    for name in (f"{attack}-{norm}" for attack in ("fgsm", "pgd") for norm in ("linf", "l2")):
        noise, mine = own.get((f"random-noise-{name.partition('-')[2]}", 0.05)), own.get((name, 0.05))
        if noise is not None and mine is not None:
            gap = interval(noise - mine)
            numbers = f"clean {own['none', 0.0].mean():.4f}, noise {noise.mean():.4f}, attack {mine.mean():.4f},"
            say(f"{model} {name} below random noise at 0.05", gap.low > 0, numbers, show(gap))


def main(default: Path, proof: Path | None) -> None:
    """Print every claim."""
    cells, tables = matrices(default)
    line = cells["popularity", 1.0]["none", 0.0]
    for model in ("mf", "lstm", "bert4rec"):
        clean_and_attacked(model, cells[model, 1.0], line)
        defended(model, cells)
    for row in tables.poisoning:
        if row["metric"] in ("t-percentile", "t-hr@10", "t-hr@50") and row["lambda"] == 1:
            effect, control = row["effect"], row["control"]
            numbers = f"{effect[0]:+.4f} [{effect[1]:.4f}, {effect[2]:.4f}] beside [{control[1]:.4f}, {control[2]:.4f}]"
            name = f"{row['model_label']} bandwagon ε={row['epsilon']:g} lifts {row['metric']}"
            say(name, row["verdict"] == "rises", numbers)
    if proof is not None:
        for (model, _), own in matrices(proof)[0].items():
            against_noise(model, own)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
