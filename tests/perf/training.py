"""Seconds per training epoch on MovieLens 100K, against plain loops and against RecBole 1.2.1.

    python tests/perf/training.py ML100K_FOLDER [--reference DIR] [--only mf sasrec] [--rounds 5]

Process seconds of one thread. ML100K_FOLDER holds ml-100k.inter; the splits are those of ``reference/export.py``.
Plain loops (mf and sasrec): the same model and batch in a bare torch loop, interleaved with the shared loop; medians.
DIR holds the files that ``reference/recbole_run.py`` writes (bpr, lightgcn, gru4rec, sasrec, bert4rec .json; unfinished
ones will do). Epochs are compared at RecBole's dimension, depth and window, its batch for the pairwise models (ours
counts windows for the others). Time to quality: the model's own settings, until its validation NDCG@10, on the same
interactions, first reaches the best one of RecBole's run so far; RecBole's: until it got there itself.
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
import export  # the script beside this one

from robench.api import Defense, Embedded, Rng
from robench.engine import training
from robench.host import Host
from robench.registry import Registry

CPU, SCORE = torch.device("cpu"), "validation_ndcg@10"


@dataclass
class Pair:
    """One model on both sides. ``like``: the settings of RecBole's defaults."""

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
    """Seconds of each epoch of the shared loop but the first, without validation."""
    moments = []
    never = {"epochs": epochs, "validate_every": epochs + 1, "validation_users": 1}
    model = cls.make(**{**settings, **never})
    training.fit(model, data, Defense(), Rng(0), CPU, lambda done, of: moments.append(time.process_time()))
    return np.diff(moments).tolist()


def plain(cls, settings, data, epochs):
    """Seconds of each epoch of a bare loop but the first."""
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
    """BPR: shuffled triples, negatives redrawn where a dense table of users x items knows them."""
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
    """The model's own layers, and torch's cross-entropy over the logits of all positions that have a target."""

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
    """The wanted quality is there."""


def time_to(cls, data, wanted):
    """(seconds until validation NDCG@10 reaches ``wanted``, or None, and the best value seen); own settings."""
    start, best, original = time.process_time(), [0.0], training.validation_ndcg

    def watched(*args, **more):
        best.append(original(*args, **more))
        if max(best) >= wanted:
            raise Reached
        return best[-1]

    training.validation_ndcg = watched
    try:
        training.fit(cls.make(validate_every=1), data, Defense(), Rng(0), CPU)
    except Reached:
        return time.process_time() - start, max(best)
    finally:
        training.validation_ndcg = original
    return None, max(best)


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
    for name in given.only:
        pair, cls = PAIRS[name], registry.load("model", name)
        rows, ours, bare = data[pair.split], [], []
        epochs = 6 if pair.split == "random" else 3
        for _ in range(given.rounds):
            ours += shared(cls, pair.like, rows, epochs)
            bare += plain(cls, pair.like, rows, epochs) if cls.__name__ in PLAIN else []
        second = statistics.median(ours)
        line = f"{name:10} {second:7.3f} s per epoch"
        if bare:
            line += f"; plain loop {statistics.median(bare):.3f} s: {second / statistics.median(bare):.2f}x"
        print(line, flush=True)
        file = None if given.reference is None else given.reference / f"{pair.recbole}.json"
        if file is not None and file.exists():
            compared(cls, pair, rows, second, json.loads(file.read_text()))


def compared(cls, pair, rows, second, reference):
    """Print how RecBole's run compares."""
    epochs = reference["epochs"]
    theirs = statistics.median(epoch["seconds"] for epoch in epochs)
    print(f"{'':10} RecBole {theirs:.3f} s per epoch ({len(epochs)} epochs): {theirs / second:.1f}x ours")
    seen = [epoch for epoch in epochs if SCORE in epoch]
    if pair.split != "last" or not seen:
        return
    best = max(seen, key=lambda epoch: epoch[SCORE])
    found, reached = time_to(cls, rows, best[SCORE])
    if found is None:
        print(f"{'':10} validation NDCG@10 {best[SCORE]:.4f} is not reached: {reached:.4f}")
        return
    print(
        f"{'':10} validation NDCG@10 {best[SCORE]:.4f}: RecBole {best['since_start']:.0f} s, ours {found:.1f} s: "
        f"{best['since_start'] / found:.0f}x"
    )


if __name__ == "__main__":
    main()
