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


def say(claim, holds, numbers):
    print(f"{'yes' if holds else 'NO '}  {claim}: {numbers}")


def main(default: Path, proof: Path | None) -> None:
    """Print every claim."""
    cells, tables = matrices(default)
    line = cells["popularity", 1.0]["none", 0.0]
    for model in ("mf", "lstm", "bert4rec"):
        clean = cells[model, 1.0]["none", 0.0]
        gap = interval(clean - line)
        say(
            f"{model} above popularity",
            gap.low > 0,
            f"{clean.mean():.4f} - {line.mean():.4f} = {gap.mean:.4f} [{gap.low:.4f}, {gap.high:.4f}]",
        )
        for attack in ("fgsm-linf", "pgd-linf", "pgd-l2", "cw-l2"):
            path = [clean.mean(), *(cells[model, 1.0][attack, e].mean() for e in (0.01, 0.05, 0.1))]
            say(
                f"{model} {attack} falls with ε", path == sorted(path, reverse=True), " ".join(f"{v:.4f}" for v in path)
            )
        weaker = [
            cells[model, 1.0]["pgd-linf", e].mean() - cells[model, 1.0]["fgsm-linf", e].mean()
            for e in (0.01, 0.05, 0.1)
        ]
        say(f"{model} PGD ≤ FGSM + 1e-3", max(weaker) <= 1e-3, " ".join(f"{v:+.4f}" for v in weaker))
        for norm, names in (("linf", ("fgsm-linf", "pgd-linf")), ("l2", ("pgd-l2", "cw-l2"))):
            both = {}
            for weight in (1.0, 0.75, 0.5):
                if (model, weight) in cells:
                    own = cells[model, weight]
                    attacked = [own[name, e] for name in names for e in (0.01, 0.05)]
                    both[weight] = np.min([own["none", 0.0], *attacked], axis=0)
            for weight in (0.75, 0.5):
                if weight in both:
                    gap = interval(both[weight] - both[1.0])
                    p = paired_p((both[weight] - both[1.0]).mean(0))
                    numbers = f"{both[1.0].mean():.4f} -> {both[weight].mean():.4f}, gap {gap.mean:+.4f} [{gap.low:.4f}, {gap.high:.4f}], p = {p:.4f}"
                    say(f"{model} λ={weight} raises the {norm} worst case at 0.05", gap.mean > 0 and p < 0.05, numbers)
    for row in tables.poisoning:
        if row["metric"] == "t-percentile" and row["lambda"] == 1:
            numbers = f"{row['effect'][0]:+.4f} [{row['effect'][1]:.4f}, {row['effect'][2]:.4f}] against [{row['control'][1]:.4f}, {row['control'][2]:.4f}]"
            say(
                f"{row['model_label']} bandwagon ε={row['epsilon']:g} lifts the targets",
                row["verdict"] == "rises",
                numbers,
            )
    if proof is None:
        return
    cells, _ = matrices(proof)
    for (model, _), own in cells.items():
        for norm in ("linf", "l2"):
            for attack in ("fgsm", "pgd"):
                if (f"{attack}-{norm}", 0.05) in own:
                    noise, mine, clean = (
                        own[f"random-noise-{norm}", 0.05],
                        own[f"{attack}-{norm}", 0.05],
                        own["none", 0.0],
                    )
                    gap = interval(noise - mine)
                    numbers = f"clean {clean.mean():.4f}, noise {noise.mean():.4f}, {attack} {mine.mean():.4f}, gap [{gap.low:.4f}, {gap.high:.4f}]"
                    say(f"{model} {attack}-{norm} far below random noise at 0.05", gap.low > 0, numbers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
