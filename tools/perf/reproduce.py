"""Judges published effects by the results of the suites in suites/reproduce.

    python tools/perf/reproduce.py FOLDER ...

FOLDER holds the results of one suite, and is named after the suite. Every line holds a claim as it was published, a
verdict (borne out, refuted, undecided), and the numbers. The numbers are means of NDCG@10 over users and seeds, with
95% intervals paired over users and seeds. docs/findings/reproduced.md documents the verdicts.

The exit code is 1 if a verdict is not the documented one, or if a documented verdict belongs to no claim. The exit code
is also 1 if a folder lacks a cell of its suite. Then nothing in this folder is judged.
"""

import re
import sys
from pathlib import Path

import numpy as np

from robench.api.codec import encode
from robench.api.metric import Measure
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.suite.load import load_suite
from robench.tables.results import read_results
from robench.tables.stats import compute_interval, estimate_mean

METRIC = Measure("ndcg", 10)
SUITES = Path(__file__).parents[2] / "suites" / "reproduce"
CELL = ("dataset", "model", "defense_label", "attack_label", "norm", "epsilon", "seed")
# The verdicts in docs/findings/reproduced.md other than "borne out", by suite.
DOCUMENTED = {
    "reproduce-apr": {
        r"movielens-small: BPR-MF loses more than AMF, held-out positives, ε = 0\.1": "undecided",
        r"movielens-small: BPR-MF loses more than AMF, known positives, relative, ε = 0\.1": "undecided",
    },
    "reproduce-msap": {
        r"movielens-small: 25 projected steps beat FGSM at ε = 0\.5": "undecided",
        r"movielens-small: msap.* beats projected steps with its L2": "undecided",
    },
    "reproduce-msap-ml-100k": {r"ml-100k: msap.* beats projected steps with its L2": "undecided"},
    "reproduce-adversarial-training": {
        r"items-10: adversarial-training raises what PGD in linf leaves of lstm": "undecided",
    },
    "reproduce-bert4rec": {
        r"items-20: (from the start|after a warm-up) raises what PGD in linf leaves of bert4rec": "undecided",
        r"items-20: from the start raises what PGD in l2 leaves of bert4rec": "undecided",
    },
}


class Cells:
    """The cells of a folder, with their values per user and their spent budgets.

    ``missing`` holds the cells of the suite that were not measured. ``said`` holds the claims that were judged.
    """

    def __init__(self, folder: Path) -> None:
        registry = Registry.of(Host.discover())
        self.results = read_results(folder, {name: registry.load("metric", name)() for name in ("ndcg", "hr")})
        self.name = self.results.plan.suite
        cells = [c for c in self.results.cells if c.status != "skipped"]
        suite = load_suite(SUITES / f"{self.name.removeprefix('reproduce-')}.yaml", registry)
        wanted = [cell.columns() for cell in make_plan(suite, registry).cells if not cell.skip]
        planned = {self._key(encode(c)) for c in cells}
        self.missing = [encode(c) for c in cells if not self.results.ok(c)]
        self.missing += [c for c in wanted if self._key(c) not in planned]
        self.said: list[str] = []
        self.cells = sorted((c for c in cells if self.results.ok(c)), key=lambda c: c.seed)
        self.datasets = sorted({c.key.dataset for c in self.cells})
        self.attacks = {(c.attack_label, c.epsilon) for c in self.cells}

    @staticmethod
    def _key(columns):
        return tuple(columns[name] for name in CELL)

    def _found(self, dataset, model, defense, attack, epsilon, norm):
        wanted = {"dataset": dataset, "model": model, "defense_label": defense, "attack_label": attack}
        found = [c for c in self.cells if wanted.items() <= encode(c).items()]
        return [c for c in found if c.epsilon == epsilon and norm in (None, c.norm)]

    def values(self, dataset, model, defense="none", attack="none", epsilon=0.0, norm=None):
        """Returns the values of the matching cells, float [seeds, users].

        Raises:
            SystemExit: if no cell matches.
        """
        found = self._found(dataset, model, defense, attack, epsilon, norm)
        if not found:
            raise SystemExit(f"{self.name}: no cell {dataset} {model} {defense} {attack} {norm} {epsilon}")
        return np.stack([self.results.per_user(c, METRIC) for c in found])

    def spent(self, dataset, model, attack, epsilon, name):
        """Returns one entry of the achieved budget, averaged over seeds."""
        found = self._found(dataset, model, "none", attack, epsilon, None)
        return float(np.mean([self.results.record(c)["achieved"][name] for c in found]))


def say(cells, claim, gap, numbers):
    """Judges a claim by the interval ``gap``, and prints the verdict.

    A claim is borne out if the whole interval is positive, and refuted if the whole interval is negative.

    Returns:
        1 if the verdict is not the documented one, else 0.
    """
    verdict = "borne out" if gap.low > 0 else "refuted" if gap.high < 0 else "undecided"
    documented = DOCUMENTED.get(cells.name, {})
    expected = next((how for pattern, how in documented.items() if re.fullmatch(pattern, claim)), "borne out")
    cells.said.append(claim)
    mark = "" if verdict == expected else f"  <- documented as {expected}"
    print(f"{verdict:9}  {claim}: {numbers}, gap {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]{mark}", flush=True)
    return int(verdict != expected)


def unsaid(cells):
    """Prints the documented verdicts that belong to no claim in the folder.

    Returns:
        The number of printed verdicts.
    """
    patterns = DOCUMENTED.get(cells.name, {})
    stale = [pattern for pattern in patterns if not any(re.fullmatch(pattern, claim) for claim in cells.said)]
    for pattern in stale:
        print(f"documented, but no claim: {pattern}")
    return len(stale)


def path(clean, attacked):
    """Returns the clean and the attacked mean with the relative change, as a text.

    An example is ``0.0770 -> 0.0242 (-69%)``.
    """
    share = 1 - attacked.mean() / clean.mean()
    return f"{clean.mean():.4f} -> {attacked.mean():.4f} ({-share:+.0%})"


def above_popularity(cells, dataset, model, defense):
    """Judges the claim that a model with a defence beats popularity.

    Returns:
        1 if the verdict is not the documented one, else 0.
    """
    own, line = cells.values(dataset, model, defense), cells.values(dataset, "popularity")
    numbers = f"{own.mean():.4f} against {line.mean():.4f}"
    return say(cells, f"{dataset}: {model}, {defense}, clears popularity", compute_interval(own - line), numbers)


def apr(cells):
    """Judges the claims of He et al. (2018).

    The claims are that BPR-MF loses more than AMF under the same ε, and that AMF is the better model. AMF is BPR-MF
    with adversarial training. Both models must also beat popularity.

    Returns:
        The number of verdicts that are not the documented ones, and of claims without an attack.
    """
    wrong = 0
    groups = {
        "known positives": (("fgsm", "pgd[steps=10]"), (0.1, 0.5, 1.0, 2.0)),
        "held-out positives": (("fgsm on held-out", "pgd on held-out"), (0.1, 0.5)),
        "known positives, relative": (("fgsm relative", "pgd relative"), (0.1, 0.2, 0.4)),
    }
    for dataset in cells.datasets:
        clean = {who: cells.values(dataset, "mf", who) for who in ("none", "apr")}
        for who in clean:
            wrong += above_popularity(cells, dataset, "mf", who)
        numbers = f"{clean['none'].mean():.4f} -> {clean['apr'].mean():.4f}"
        wrong += say(
            cells,
            f"{dataset}: AMF is better than BPR-MF when clean",
            compute_interval(clean["apr"] - clean["none"]),
            numbers,
        )
        for group, (attacks, epsilons) in groups.items():
            for epsilon in epsilons:
                claim = f"{dataset}: BPR-MF loses more than AMF, {group}, ε = {epsilon:g}"
                present = [attack for attack in attacks if (attack, epsilon) in cells.attacks]  # a suite may have fewer
                if not present:
                    print(f"no attack for: {claim}")
                    wrong += 1
                    continue
                worst = {}
                for who in clean:
                    found = [cells.values(dataset, "mf", who, attack, epsilon) for attack in present]
                    worst[who] = min(found, key=lambda values: values.mean())  # all users share one δ
                lost = {who: clean[who] - worst[who] for who in clean}
                numbers = f"BPR-MF {path(clean['none'], worst['none'])}, AMF {path(clean['apr'], worst['apr'])}"
                wrong += say(cells, claim, compute_interval(lost["none"] - lost["apr"]), numbers)
    return wrong


def msap(cells):
    """Judges the claim of Anelli et al. (2021).

    The claim is that many steps beat one step at equal ε. The many steps spend a larger L2 norm. Further lines show how
    much of the advantage is due to this norm. MF must also beat popularity.

    Returns:
        The number of verdicts that are not the documented ones.
    """
    wrong = 0
    for dataset in cells.datasets:
        wrong += above_popularity(cells, dataset, "mf", "none")
        clean = cells.values(dataset, "mf")
        wide = max(c.epsilon for c in cells.cells if c.attack_label == "fgsm")
        one, same = (cells.values(dataset, "mf", attack="fgsm", epsilon=e) for e in (0.5, wide))
        projected, more = (cells.values(dataset, "mf", attack="pgd", epsilon=e) for e in (0.5, wide))
        for label in ("msap", "msap uniform"):
            clipped = cells.values(dataset, "mf", attack=label, epsilon=0.5)
            mean, most = (cells.spent(dataset, "mf", label, 0.5, f"l2_{how}") for how in ("mean", "max"))
            numbers = f"clean {clean.mean():.4f}, one step {one.mean():.4f}, 25 clipped {clipped.mean():.4f}"
            numbers += f" (L2 spent: mean {mean:.2f}, most {most:.2f})"
            wrong += say(cells, f"{dataset}: {label} beats FGSM at ε = 0.5", compute_interval(one - clipped), numbers)
            numbers = f"25 clipped {clipped.mean():.4f}, 25 projected {projected.mean():.4f}"
            claim = f"{dataset}: {label}'s advantage shrinks when the norm is projected"
            wrong += say(cells, claim, compute_interval(projected - clipped), numbers)
            part = (one.mean() - same.mean()) / (one.mean() - clipped.mean())
            numbers = f"one step with L2 {wide:g} {same.mean():.4f}, 25 clipped {clipped.mean():.4f}, share {part:.0%}"
            claim = f"{dataset}: one step with {label}'s L2 has most of its advantage"
            wrong += say(cells, claim, compute_interval((one - same) - 0.5 * (one - clipped)), numbers)
            numbers = f"25 projected to L2 {wide:g} {more.mean():.4f}, 25 clipped {clipped.mean():.4f}"
            claim = f"{dataset}: {label} beats projected steps with its L2"
            wrong += say(cells, claim, compute_interval(more - clipped), numbers)
        numbers = f"one step {one.mean():.4f}, 25 projected {projected.mean():.4f}"
        wrong += say(
            cells, f"{dataset}: 25 projected steps beat FGSM at ε = 0.5", compute_interval(one - projected), numbers
        )
    return wrong


def training(cells):
    """Judges two claims about adversarial training.

    The claims are that PGD lowers the values, and that adversarial training raises the values under PGD. Every fitted
    model must also beat popularity.

    Returns:
        The number of verdicts that are not the documented ones.
    """
    wrong = 0
    (model,) = {c.key.model for c in cells.cells} - {"popularity"}
    labels = sorted({c.key.defense_label for c in cells.cells} - {"none"})
    for dataset in cells.datasets:
        for who in ("none", *labels):
            wrong += above_popularity(cells, dataset, model, who)
        clean = cells.values(dataset, model)
        for norm in ("linf", "l2"):
            attacked = cells.values(dataset, model, "none", f"pgd[norm={norm}]", 0.05)
            claim = f"{dataset}: PGD in {norm} at 0.05 hurts {model}"
            wrong += say(cells, claim, compute_interval(clean - attacked), path(clean, attacked))
            for label in labels:
                own = cells.values(dataset, model, label)
                mine = cells.values(dataset, model, label, f"pgd[norm={norm}]", 0.05)
                claim = f"{dataset}: {label} raises what PGD in {norm} leaves of {model}"
                p = estimate_mean(mine - attacked).compute_p()
                numbers = f"{path(clean, attacked)} against {path(own, mine)}, p = {p:.4f}"
                wrong += say(cells, claim, compute_interval(mine - attacked), numbers)
    return wrong


def main(folders):
    """Judges and prints every claim.

    Returns:
        The number of verdicts that differ from the documented ones, of documented verdicts without a claim, and of
        missing cells.
    """
    wrong = 0
    for folder in folders:
        cells = Cells(folder)
        print(f"\n{cells.name}")
        if cells.missing:
            where = ", ".join(sorted({f"{c['dataset']} {c['attack_label']}" for c in cells.missing}))
            print(f"{len(cells.missing)} cells are missing or failed, so nothing is judged: {where}")
            wrong += len(cells.missing)
            continue
        kind = cells.name.removeprefix("reproduce-").split("-")[0]
        wrong += {"apr": apr, "msap": msap, "adversarial": training, "bert4rec": training}[kind](cells)
        wrong += unsaid(cells)
    return wrong


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(1 if main([Path(argument) for argument in sys.argv[1:]]) else 0)
