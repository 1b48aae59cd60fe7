"""Evaluates models on items that nobody has used.

    python tools/perf/cold_items.py [--draws 3] [--models text-bert content popularity lstm] [--set JSON] [--warm]

The data is MovieLens latest-small (at least 5 interactions per user and 20 per item) with the split leave-last-out. A
tenth of the items is drawn for each seed, and removed from all training and validation rows. Each model is fitted on
the rest, so the model has seen no interaction with a removed item. A user is cold if the user's test item was removed.

The table shows NDCG@10 over the whole catalogue for the warm and the cold users. For the cold users it also shows
NDCG@10 among the cold items alone. The last column shows, for the cold users, the mean share of the catalogue that
ranks below the test item (chance: 50%). Standard errors (±) are over users. An item that ties with the test item counts
half above and half below it. For NDCG, the number of items above the test item is rounded up.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch

from robench.api import Defense, Interactions, Rng, TrainData
from robench.api.data import joined
from robench.engine.data.prepare import prepare
from robench.engine.fit.loop import fit
from robench.engine.rank.chunk import build_chunk, mask_known
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.spec import Part

SPLIT = Part("leave-last-out", {"seed": 0}, "leave-last-out")


def without(rows, cold):
    """Returns the rows without cold items.

    The mask ``cold``, bool [n_items], is True for a cold item.
    """
    parts = [rows.row(user)[~cold[rows.row(user)]] for user in range(rows.n_users)]
    return Interactions.from_rows(parts, rows.n_items)


def gain(above):
    """Returns each user's NDCG@10: [users].

    ``above`` [users] is the number of items that rank above the user's held-out item.
    """
    return np.where(above < 10, 1 / np.log2(2 + above), 0.0)


def outcome(model, seen, test, cold):
    """Returns four arrays, with one entry for each user who has one test item.

    The first array is True for a user whose test item is cold. The other arrays hold NDCG@10, NDCG@10 among the cold
    items, and the share of the other items that rank below the test item.
    """
    users, history = np.flatnonzero(test.lengths() == 1), joined(seen.train, seen.validation)
    scores = torch.from_numpy(model.scores(users, history))
    scores = mask_known(scores, build_chunk(users, history, test)).double().numpy()
    held = test.items[test.indptr[users]]
    own = scores[np.arange(len(users)), held][:, None]
    # An item with the same score counts half before and half after the test item.
    before = (scores > own) + 0.5 * (scores == own)
    above, among = before.sum(1) - 0.5, before[:, cold].sum(1) - 0.5
    return cold[held], gain(np.ceil(above)), gain(np.ceil(among)), 1 - above / (scores.shape[1] - 1)


def show(values):
    return f"{values.mean():.4f} ± {values.std(ddof=1) / len(values) ** 0.5:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["text-bert", "content", "popularity", "lstm"])
    parser.add_argument("--set", type=json.loads, default={}, help="settings of all models, as JSON")
    parser.add_argument("--warm", action="store_true", help="hold nothing out: quality on all test items")
    given = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.of(Host.discover())
    source = registry.load("dataset", "movielens-small").make(min_user_interactions=5, min_item_interactions=20)
    data = prepare(source.load(), source.config, SPLIT)
    print("| model | warm NDCG@10 | cold NDCG@10 | cold among cold NDCG@10 | cold: below it | processor seconds |")
    print("|---|---|---|---|---|---|")
    for name in given.models:
        parts, seconds = [], []
        for draw in range(given.draws):
            cold = np.zeros(data.train.n_items, dtype=bool)
            if not given.warm:
                cold[np.random.default_rng(draw).choice(len(cold), len(cold) // 10, replace=False)] = True
            seen = TrainData(without(data.train, cold), without(data.validation, cold), data.catalogue)
            model = registry.load("model", name).make(**given.set)
            start = time.process_time()
            fit(model, seen, Defense(), Rng(draw).child("fit"), device=torch.device("cpu"))
            seconds.append(time.process_time() - start)
            parts.append(outcome(model, seen, data.test, cold))
        who, ndcg, among, behind = (np.concatenate(part) for part in zip(*parts, strict=True))
        cells = [name, show(ndcg[~who])]
        cells += [show(ndcg[who]), show(among[who]), f"{behind[who].mean():.1%}"] if who.any() else ["–"] * 3
        print(f"| {' | '.join(cells)} | {np.mean(seconds):.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
