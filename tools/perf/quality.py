"""Compares the quality of models with other libraries and with published values.

    python tools/perf/quality.py ML100K_FOLDER WORK [--beauty results/beauty]
    python tools/perf/quality.py --beauty results/beauty

The comparison with RecBole 1.2.1 and implicit 0.7.3 uses MovieLens 100K. The published values are those of Amazon
Beauty.

The script makes a Python environment for each library in WORK/recbole and WORK/implicit, or uses those of ``--python``
and ``--implicit-python``. The splits ``random`` and ``leave-last-out`` are written as files for RecBole. Each model of
the other libraries runs once, and the result is kept as WORK/<model>.json. If the limit on epochs has changed, the
model runs again. Robench's own models are fitted on the same interactions with one thread, and the script prints a
table.

``wmf`` is compared with the alternating least squares of implicit, and both have the defaults of ``wmf``.

``--defaults`` gives robench its defaults instead of tuned settings. ``--only mf lightgcn`` restricts the models, and
``--seeds`` is the number of fits that are averaged. ``--others-only`` and ``--skip-others`` each run one half of the
comparison. ``--beauty`` compares the results of ``suites/beauty.yaml`` with published values of the same file and
split.

The exit code is 1 if a model is worse than the other library by more than one standard error over users, in NDCG@10 or
Recall@10, or if a model on Amazon Beauty is below a published value.

The neural models of RecBole and robench keep the weights with the best validation NDCG@10. All rankings follow the
rules of RecBole. On the random split, known items are masked, and a history is the training items. Leave-last-out masks
nothing, and a history has the validation item too. RecBole uses its defaults and one seed. On the random split, robench
uses the settings that ``robench tune`` chose. NeuMF has the settings of an earlier search there, and ``wmf`` has its
defaults. With leave-last-out, robench uses its defaults. RecBole's SASRec and BERT4Rec stop after 2 epochs of 180 to
200 s each. This is several times the processor time of robench's whole fit (see the table).
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parent / "reference"))
import beauty  # a module in the folder reference
import export  # the script in the folder reference

from robench.api import Defense, Rng
from robench.api.data import joined
from robench.api.errors import UserError
from robench.engine.data.targets import evaluated_users
from robench.engine.fit.loop import fit
from robench.engine.rank.chunk import build_chunk, mask_known
from robench.engine.rank.ranking import held_out_ranks
from robench.host.discovery import Host
from robench.host.registry import Registry

PINS = {
    "recbole": ["torch==2.13.0", "recbole==1.2.1", "numpy<2", "scipy<1.13", "setuptools<81", "pandas<2.2"],
    "implicit": ["implicit==0.7.3", "numpy", "scipy"],
}
REFERENCE = Path(__file__).parent / "reference"


@dataclass
class Pair:
    """One model in robench and in another library.

    ``theirs`` is the name of the model in the other library. ``epochs`` is the largest number of epochs in RecBole, or
    the number of iterations in implicit. ``stopping`` is the patience of RecBole.
    """

    split: str
    name: str
    theirs: str
    epochs: int
    stopping: int = 0
    settings: dict = field(default_factory=dict)
    library: str = "recbole"

    def their_settings(self):
        """Returns the settings of the model in the other library."""
        if self.library == "recbole":
            return {"epochs": self.epochs, "stopping_step": self.stopping}
        return {"factors": 32, "alpha": 3.0, "regularization": 20.0, "iterations": self.epochs}


def read_settings(path):
    """Returns the settings of each model in a suite, by name.

    Models that the suite lists by name alone are left out.
    """
    models = [one for one in yaml.safe_load(path.read_text())["models"] if isinstance(one, dict)]
    return {one["name"]: {name: one[name] for name in one.keys() - {"name", "label"}} for one in models}


TUNED = read_settings(Path(__file__).parents[2] / "suites" / "tuning" / "ml-100k-random.tuned.yaml")
# On the random split, robench has the settings that ``robench tune`` chose, and NeuMF those of an earlier search on
# another draw of the split. On leave-last-out robench has its defaults.
PAIRS = [
    Pair("random", "mf", "BPR", 60, 60, TUNED["mf"]),
    Pair("random", "lightgcn", "LightGCN", 120, 10, TUNED["lightgcn"]),
    Pair("random", "neumf", "NeuMF", 60, 10, {"epochs": 40, "learning_rate": 1e-3, "weight_decay": 0}),
    Pair("random", "multi-vae", "MultiVAE", 200, 20, TUNED["multi-vae"]),
    Pair("random", "ease", "EASE", 1, 1, TUNED["ease"]),
    Pair("random", "item-knn", "ItemKNN", 1, 1, TUNED["item-knn"]),
    Pair("random", "wmf", "AlternatingLeastSquares", 10, library="implicit"),
    Pair("last", "gru4rec", "GRU4Rec", 12, 12),
    Pair("last", "sasrec", "SASRec", 2, 6),
    Pair("last", "bert4rec", "BERT4Rec", 2, 6),
]


def reference(pair, work, python):
    """Runs the other library's model of a pair, unless its result is stored.

    A stored result does not count if the run was not finished, or if it had another limit on epochs.
    """
    out, settings = work / f"{pair.theirs.lower()}.json", pair.their_settings()
    if out.exists():
        kept = json.loads(out.read_text())
        name = "epochs" if pair.library == "recbole" else "iterations"
        if kept["test"] is not None and kept["settings"][name] == pair.epochs:
            return
    script = [python, "-W", "ignore", REFERENCE / f"{pair.library}_run.py", work / "data", pair.split, pair.theirs, out]
    subprocess.run([*map(str, script), json.dumps(settings)], check=True, cwd=work, stdout=subprocess.DEVNULL)


def environment(work, library):
    """Returns the path of a Python interpreter with another library.

    If there is no environment for the library yet, the function makes one.
    """
    folder = work / library
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", *PINS[library]], check=True)
    return folder / "bin" / "python"


def outcome(model, data, split):
    """Returns NDCG@10 and Recall@10 per user, float64 [users] each.

    The ranking follows RecBole's rules.
    """
    known, users = joined(data.train, data.validation), evaluated_users(data, None)
    history = data.train if split == "random" else known
    ndcg, recall = [], []
    for part in np.array_split(users, max(1, len(users) // 256)):
        chunk = build_chunk(part, known, data.test)
        scores = torch.from_numpy(model.scores(part, history))
        scores = mask_known(scores, chunk) if split == "random" else scores
        ranks = held_out_ranks(scores, chunk.held).double()
        count = (chunk.held >= 0).sum(1)
        hit = (ranks > 0) & (ranks <= 10)
        ideal = torch.cumsum(1 / torch.log2(torch.arange(2, 12).double()), 0)[count.clamp_max(10) - 1]
        ndcg.append(torch.where(hit, 1 / torch.log2(1 + ranks.clamp_min(1)), 0.0).sum(1) / ideal)
        recall.append(hit.sum(1) / count)
    return torch.cat(ndcg).numpy(), torch.cat(recall).numpy()


def measured(pair, data, registry, seeds):
    """Returns NDCG@10 and Recall@10 per user, and the CPU seconds of the fit.

    The values and the seconds are averaged over seeds.
    """
    cls, found, seconds = registry.load("model", pair.name), [], []
    for seed in range(seeds):
        start = time.process_time()
        model = cls(cls.Config.from_written(pair.settings))
        fit(model, data.train_data(), Defense(), Rng(seed).child("fit"), device=torch.device("cpu"))
        seconds.append(time.process_time() - start)
        found.append(np.stack(outcome(model, data, pair.split)))
    ndcg, recall = np.mean(found, axis=0)
    return ndcg, recall, float(np.mean(seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?")
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--python", type=Path)
    parser.add_argument("--implicit-python", type=Path)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--others-only", action="store_true")
    parser.add_argument("--skip-others", action="store_true")
    parser.add_argument("--beauty", type=Path, metavar="RESULTS")
    given = parser.parse_args()
    if given.work is None and (given.source or not given.beauty):
        parser.error("give ML100K_FOLDER and WORK, or --beauty")
    try:
        good = [beauty.compare(given.beauty)] if given.beauty else []
    except UserError as error:
        parser.error(str(error))
    if given.work is not None:
        good.append(compare(given))
    return int(not all(good))


def compare(given):
    """Prints the comparison on MovieLens 100K.

    Returns:
        False if a model is worse than in the other library by more than one standard error, else True. Models without a
        result of the other library do not count.
    """
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    given.work.mkdir(parents=True, exist_ok=True)
    pairs = [pair for pair in PAIRS if not given.only or pair.name in given.only]
    if given.defaults:
        pairs = [replace(pair, settings={}) for pair in pairs]
    if not given.skip_others:
        export.main(given.source, given.work / "data")
        pythons = {"recbole": given.python, "implicit": given.implicit_python}
        for pair in pairs:
            reference(pair, given.work, pythons[pair.library] or environment(given.work, pair.library))
    if given.others_only:
        return True
    registry = Registry.of(Host.discover())
    data = {split: export.prepared(given.source, split) for split in {pair.split for pair in pairs}}
    head = ["model", "split", "NDCG@10 ± s.e.", "theirs", "Recall@10 ± s.e.", "theirs", "at least theirs − s.e."]
    head += ["seconds", "theirs"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    behind = 0
    for pair in pairs:
        *values, seconds = measured(pair, data[pair.split], registry, given.seeds)
        kept = given.work / f"{pair.theirs.lower()}.json"
        other = json.loads(kept.read_text()) if kept.exists() else {}
        theirs = other.get("test") or {}
        cells, good = [pair.name, pair.split], []
        for value, name in zip(values, ("ndcg@10", "recall@10"), strict=True):
            error = float(value.std(ddof=1) / len(value) ** 0.5)
            cells += [f"{value.mean():.4f} ± {error:.4f}", f"{theirs[name]:.4f}" if theirs else "–"]
            good.append(bool(theirs) and value.mean() >= theirs[name] - error)
        cells += ["yes" if all(good) else "NO" if theirs else "–", f"{seconds:.1f}"]
        cells += [f"{other['seconds']:.1f} ({len(other['epochs'])} epochs)" if theirs else "–"]
        behind += bool(theirs) and not all(good)
        print(f"| {' | '.join(cells)} |", flush=True)
    return not behind


if __name__ == "__main__":
    sys.exit(main())
