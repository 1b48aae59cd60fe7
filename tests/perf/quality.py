"""Quality against RecBole 1.2.1 on the same splits of MovieLens 100K: python tests/perf/quality.py ML100K_FOLDER WORK.

Makes a Python environment for RecBole in WORK/recbole (another one by --python), writes both splits as its files, runs
each of its models once (kept as WORK/<model>.json; delete a file to run it again), fits robench's own on the same
interactions with one thread, and prints a table. ``--only mf lightgcn`` restricts it, ``--seeds`` is how many fits are
averaged, ``--recbole-only`` and ``--skip-recbole`` do one half. Both sides select on validation NDCG@10.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent / "reference"))
import export  # the script beside this one

from robench.api import Defense, Rng
from robench.api.data import joined
from robench.engine.measure import Bench
from robench.engine.prepare import evaluated_users
from robench.engine.training import fit
from robench.host import Host
from robench.registry import Registry
from robench.victim import outcome_of

PINS = ["torch==2.13.0", "recbole==1.2.1", "numpy<2", "scipy<1.13", "setuptools<81", "pandas<2.2"]
REFERENCE = Path(__file__).parent / "reference"


@dataclass
class Pair:
    """One model on both sides. ``epochs``: RecBole's; it stops early where its validation does not rise."""

    split: str
    name: str
    recbole: str
    epochs: int
    stopping: int
    settings: dict = field(default_factory=dict)


# robench's settings for the random split: what validation chose among the trials of suites/tuning/ml-100k-random.yaml;
# for the other one the defaults.
PAIRS = [
    Pair("random", "mf", "BPR", 60, 60, {"epochs": 80, "learning_rate": 3e-3, "weight_decay": 3e-5}),
    Pair("random", "lightgcn", "LightGCN", 120, 10, {"epochs": 80, "learning_rate": 5e-3, "weight_decay": 0}),
    Pair("random", "neumf", "NeuMF", 60, 10, {"epochs": 40, "learning_rate": 1e-3, "weight_decay": 0}),
    Pair("random", "multi-vae", "MultiVAE", 200, 20, {"epochs": 150, "dropout": 0.5, "beta": 0.3}),
    Pair("random", "ease", "EASE", 1, 1, {"weight_decay": 300}),
    Pair("random", "item-knn", "ItemKNN", 1, 1, {"k": 200, "shrinkage": 10}),
    Pair("last", "gru4rec", "GRU4Rec", 12, 12),
    Pair("last", "sasrec", "SASRec", 2, 6),
    Pair("last", "bert4rec", "BERT4Rec", 2, 6),
]


def reference(pair, work, python):
    """RecBole's run of a pair, made where it is not kept."""
    out = work / f"{pair.recbole.lower()}.json"
    if out.exists() and json.loads(out.read_text())["test"] is not None:
        return
    settings = json.dumps({"epochs": pair.epochs, "stopping_step": pair.stopping})
    script = [python, "-W", "ignore", REFERENCE / "recbole_run.py", work / "data", pair.split, pair.recbole, out]
    subprocess.run([*map(str, script), settings], check=True, cwd=work, stdout=subprocess.DEVNULL)


def environment(work):
    """A Python with RecBole."""
    folder = work / "recbole"
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", *PINS], check=True)
    return folder / "bin" / "python"


def measured(pair, data, registry, seeds):
    """Per-user NDCG@10 and Recall@10 [S, U], and seconds of one thread."""
    history, users = joined(data.train, data.validation), evaluated_users(data, None)
    cls, found, seconds = registry.load("model", pair.name), {"ndcg": [], "recall": []}, []
    for seed in range(seeds):
        start = time.process_time()
        model = cls.make(**pair.settings)
        fit(model, data.train_data(), Defense(), Rng(seed).child("fit"), device=torch.device("cpu"))
        seconds.append(time.process_time() - start)
        arrays = Bench(model, history, data.test, users, seed).clean(None).arrays
        outcome = outcome_of(arrays)
        for name, values in found.items():
            values.append(registry.load("metric", name)().per_user(outcome, 10))
    return {name: np.stack(values) for name, values in found.items()}, float(np.mean(seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--python", type=Path)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recbole-only", action="store_true")
    parser.add_argument("--skip-recbole", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    given.work.mkdir(parents=True, exist_ok=True)
    pairs = [pair for pair in PAIRS if not given.only or pair.name in given.only]
    if not given.skip_recbole:
        export.main(given.source, given.work / "data")
        python = given.python or environment(given.work)
        for pair in pairs:
            reference(pair, given.work, python)
    if given.recbole_only:
        return
    registry = Registry.of(Host.discover())
    data = {split: export.prepared(given.source, split) for split in {pair.split for pair in pairs}}
    head = [
        "model",
        "split",
        "NDCG@10",
        "one s.e.",
        "RecBole",
        "at least RecBole − s.e.",
        "Recall@10",
        "RecBole",
        "seconds",
        "RecBole",
    ]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for pair in pairs:
        found, seconds = measured(pair, data[pair.split], registry, given.seeds)
        ndcg, recall = found["ndcg"].mean(0), found["recall"].mean()
        error = float(ndcg.std(ddof=1) / len(ndcg) ** 0.5)
        kept = given.work / f"{pair.recbole.lower()}.json"
        other = json.loads(kept.read_text()) if kept.exists() else {"test": None}
        theirs = other["test"] or {"ndcg@10": float("nan"), "recall@10": float("nan")}
        good = "yes" if ndcg.mean() >= theirs["ndcg@10"] - error else "NO"
        cells = [pair.name, pair.split, f"{ndcg.mean():.4f}", f"{error:.4f}", f"{theirs['ndcg@10']:.4f}", good]
        cells += [f"{recall:.4f}", f"{theirs['recall@10']:.4f}", f"{seconds:.1f}", f"{other.get('seconds', 0):.1f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
