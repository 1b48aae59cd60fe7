"""Measures the seconds per training epoch on MovieLens 100K.

    python tools/perf/training.py ML100K_FOLDER [--reference DIR] [--only mf sasrec] [--rounds 5]

The CPU seconds of one thread are compared with those of plain loops and of RecBole 1.2.1. ML100K_FOLDER holds
ml-100k.inter, and the splits are those of ``reference/export.py``.

A plain loop (mf and sasrec) is a bare torch loop with the same model and batch. Epochs of the plain loop and of
robench's shared loop take turns, and the medians are compared.

DIR holds the files that ``reference/recbole_run.py`` writes on this machine, such as bpr.json and sasrec.json. The
files of unfinished RecBole runs are enough. Epochs are compared at RecBole's dimension, depth and window. SASRec's
inner layer has width 64 in robench and 256 in RecBole. Pairwise models use RecBole's batch size. For the other
models, robench's batch size counts windows. The comparison is per training target, because an epoch of BERT4Rec has
fewer targets in robench.

For sequence models, the time to quality is compared too, with the model's own settings. The time ends when validation
NDCG@10 first comes within .001 of RecBole's best. Robench and RecBole compute this value without masks. RecBole's time
ends at the same value.

The exit code is 1 if a goal is missed. The shared loop may take at most 1.15 times as long as a plain loop. RecBole
must take at least 2 times as long per training target (pairwise) or 20 times as long (sequence). RecBole must also take
at least 10 times as long to reach the quality.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, embedding, softplus

sys.path.insert(0, str(Path(__file__).parent / "reference"))
import export  # the script in the folder reference

from robench.api import Defense, Embedded, Rng, SequenceModel
from robench.engine.fit import training
from robench.engine.fit.loop import fit
from robench.engine.rank.chunk import build_chunk
from robench.engine.rank.ranking import held_out_ranks
from robench.host.discovery import Host
from robench.host.registry import Registry

CPU, SCORE = torch.device("cpu"), "validation_ndcg@10"


@dataclass
class Pair:
    """One model in robench and in RecBole.

    ``like`` holds the settings that match RecBole's defaults.
    """

    split: str
    recbole: str
    like: dict = field(default_factory=dict)


PAIRS = {
    "mf": Pair("random", "bpr", {"factors": 64, "batch_size": 2048}),
    "lightgcn": Pair("random", "lightgcn", {"factors": 64, "batch_size": 2048, "layers": 2}),
    "gru4rec": Pair("last", "gru4rec", {"hidden": 128, "dropout": 0.3, "max_length": 50}),
    "sasrec": Pair("last", "sasrec", {"layers": 2, "heads": 2, "dropout": 0.5, "max_length": 50}),
    "bert4rec": Pair("last", "bert4rec", {"layers": 2, "heads": 2, "mask": 0.2, "dropout": 0.2, "max_length": 50}),
}


def shared(cls, settings, data, epochs):
    """Returns the CPU seconds of each epoch in robench's shared loop.

    The first epoch is left out. The seconds contain no validation.
    """
    moments = []
    never = {"epochs": epochs, "validate_every": epochs + 1, "validation_users": 1}
    model = cls.make(**{**settings, **never})
    fit(model, data, Defense(), Rng(0), CPU, lambda done, of: moments.append(time.process_time()))
    return np.diff(moments).tolist()


def plain(cls, settings, data, epochs):
    """Returns the CPU seconds of each epoch in a plain loop, without the first epoch."""
    model = cls.make(**settings)
    model.initialise(data, Rng(0))
    optimiser = torch.optim.Adam(model.parameters(), lr=model.config.learning_rate, fused=True)
    losses, moments = PLAIN[cls.__name__](model, data), []
    for _ in range(epochs):
        model.train()
        for loss in losses():
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        moments.append(time.process_time())
    return np.diff(moments).tolist()


def plain_mf(model, data):
    """Returns a function that yields the BPR loss of each batch in an epoch.

    A negative is drawn again if a dense table shows that the user has used it.
    """
    users, items = (torch.from_numpy(np.array(part)) for part in (data.train.users(), data.train.items))
    known = torch.zeros(data.n_users, data.n_items, dtype=torch.bool)
    known[users, items] = True
    p, q = model.user_vectors.weight, model.item_vectors.weight

    def losses():
        for part in torch.randperm(len(users)).split(model.config.batch_size):
            u, i = users[part], items[part]
            j = torch.randint(data.n_items, i.shape)
            while len(again := known[u, j].nonzero()[:, 0]):
                j[again] = torch.randint(data.n_items, again.shape)
            margin = (embedding(u, p) * (embedding(i, q) - embedding(j, q))).sum(1)
            yield softplus(-margin).mean()

    return losses


def plain_sasrec(model, data):
    """Returns a function that yields the loss of each batch in an epoch.

    The losses come from the model's own layers and torch's cross-entropy. They cover all positions with a target.
    """

    def losses():
        for batch in model.batches(data, Rng(torch.randint(1 << 30, ()).item())):
            ids, targets = batch.histories, batch.targets["items"]
            vectors = model.item_table(ids) * (ids != model.n_items).unsqueeze(-1)
            states = model.states(batch, Embedded({"items": vectors}, {}))
            there = targets != model.n_items
            logits = states[there] @ model.item_table.weight[: model.n_items].T + model.item_bias
            yield cross_entropy(logits, targets[there])

    return losses


PLAIN = {"MatrixFactorization": plain_mf, "SasRec": plain_sasrec}


class Reached(Exception):
    """The exception that ends a fit when the target quality is reached."""


def unmasked(model, data):
    """Returns validation NDCG@10 without masks.

    RecBole computes the value in this way for sequence models.
    """
    gains, users = [], np.flatnonzero((data.validation.lengths() > 0) & (data.train.lengths() > 0))
    for part in np.array_split(users, max(1, len(users) // 256)):
        ranks = held_out_ranks(
            torch.from_numpy(model.scores(part, data.train)), build_chunk(part, data.train, data.validation).held
        )
        gains.append(torch.where(ranks <= 10, 1 / torch.log2(1 + ranks.double()), 0.0).sum(1))
    return float(torch.cat(gains).mean())


def time_to(cls, data, wanted):
    """Measures the seconds until the model reaches a validation NDCG@10.

    Known items are not masked before the ranking, and ``wanted`` is the value to reach.

    Returns:
        The seconds, or None if the model does not reach ``wanted``, and the best value.
    """
    start, best, original = time.process_time(), [0.0], training.validation_ndcg

    def watched(model, data, **more):
        best.append(unmasked(model, data))
        if max(best) >= wanted:
            raise Reached
        return best[-1]

    training.validation_ndcg = watched
    try:
        fit(cls.make(validate_every=1), data, Defense(), Rng(0), CPU)
    except Reached:
        return time.process_time() - start, max(best)
    finally:
        training.validation_ndcg = original
    return None, max(best)


def targets(cls, settings, data):
    """Returns the number of training targets in an epoch."""
    model = cls.make(**settings)
    model.initialise(data, Rng(0))
    batches = model.batches(data, Rng(0).child("batches", 0))
    if isinstance(model, SequenceModel):
        return sum(int((batch.targets["items"] != data.n_items).sum()) for batch in batches)
    return sum(len(batch.users) for batch in batches)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--only", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    registry = Registry.of(Host.discover())
    data = {split: export.prepared(given.source, split).train_data() for split in ("random", "last")}
    missed = 0
    for name in given.only:
        pair, cls = PAIRS[name], registry.load("model", name)
        rows, ours, bare = data[pair.split], [], []
        epochs = 6 if pair.split == "random" else 3
        for _ in range(given.rounds):
            ours += shared(cls, pair.like, rows, epochs)
            bare += plain(cls, pair.like, rows, epochs) if cls.__name__ in PLAIN else []
        second, count = statistics.median(ours), targets(cls, pair.like, rows)
        print(f"{name:10} {second:7.3f} s per epoch of {count} targets", flush=True)
        if bare:
            missed += goal(
                f"of a plain loop's {statistics.median(bare):.3f} s", second / statistics.median(bare), most=1.15
            )
        file = None if given.reference is None else given.reference / f"{pair.recbole}.json"
        if file is not None and file.exists():
            missed += compared(cls, pair, rows, second / count, json.loads(file.read_text()))
    return int(missed > 0)


def goal(text, ratio, most=None, least=None):
    """Prints a ratio, and returns 1 if the ratio misses its bound."""
    missed = ratio > most if most is not None else ratio < least
    bound = f"at most {most}" if most is not None else f"at least {least}"
    print(f"{'':10} {ratio:.2f}x {text} (goal: {bound}x{', MISSED' if missed else ''})", flush=True)
    return int(missed)


def compared(cls, pair, rows, per_target, reference):
    """Prints a comparison with RecBole's run, and returns the number of missed goals."""
    epochs = reference["epochs"]
    theirs = statistics.median(epoch["seconds"] for epoch in epochs)
    ratio, least = theirs / reference["targets"] / per_target, 20 if pair.split == "last" else 2
    missed = goal(
        f"RecBole's {theirs:.3f} s per epoch of {reference['targets']} targets, per target", ratio, least=least
    )
    seen = [epoch for epoch in epochs if SCORE in epoch]
    if pair.split != "last" or not seen:
        return missed
    wanted = max(epoch[SCORE] for epoch in seen) - 0.001
    first = next(epoch for epoch in seen if epoch[SCORE] >= wanted)
    found, reached = time_to(cls, rows, wanted)
    if found is None:
        print(f"{'':10} validation NDCG@10 {wanted:.4f} is not reached: {reached:.4f}")
        return missed + 1
    text = f"to validation NDCG@10 {wanted:.4f} in {found:.1f} s, RecBole in {first['since_start']:.0f} s"
    return missed + goal(text, first["since_start"] / found, least=10)


if __name__ == "__main__":
    sys.exit(main())
